"""PLE, progressive layered extraction (Tang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import SoftmaxGates, Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class PLE(FunnelModel):
    """Levels of customized gate control (CGC): experts of each task beside shared ones.

    A task's gate mixes its own experts and the shared ones; the shared gate mixes all, and the last
    level has none. Experts and gates of level 1 read the flattened embeddings, those of a later
    level the mixtures of their own task's (or the shared) gate below (eq. 5 to 7 there). A tower
    and a head for each task follow.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        num_levels: Number of ple's CGC levels; 2 by default.
        num_specific: Number of experts that each task has to itself in each level of ple; 4 by
            default.
        num_shared: Number of experts that all tasks share in each level of ple; 4 by default.
        expert_units: Sizes of the layers of each expert of mmoe and ple; 256 and 128 by default.
        tower_units: Sizes of the layers of each task's tower; one layer of 64 units by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = PLE(field_rows=[10, 20], num_tasks=2, expert_units=[8])
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        num_levels: int = 2,
        num_specific: int = 4,
        num_shared: int = 4,
        expert_units: Sequence[int] = (256, 128),
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        policy = self.dtype_policy
        levels = range(num_levels)
        out = expert_units[-1]
        self.num_specific = num_specific
        self.embedding = self.make_embedding()
        specific = num_tasks * num_specific
        self.specific = []
        for _ in levels:
            experts = Towers(specific, expert_units, dropout, dtype=policy)
            self.specific.append(experts)
        self.shared = []
        for _ in levels:
            experts = Towers(num_shared, expert_units, dropout, dtype=policy)
            self.shared.append(experts)
        self.task_gates = [SoftmaxGates(num_tasks, dtype=policy) for _ in levels]
        self.shared_gates = [SoftmaxGates(1, dtype=policy) for _ in levels[:-1]]
        self._build_levels(num_shared, out)
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.towers.build((None, num_tasks, out))
        self.finish(tower_units[-1])

    def _build_levels(self, num_shared: int, out: int) -> None:
        """Builds the experts and the tasks' gates of all levels, then the shared gates."""
        n = self.num_tasks
        m = self.num_specific
        later_levels = len(self.shared_gates)
        sizes = [self.flat_size] + [out] * later_levels  # what each level reads
        experts_of_task = m + num_shared
        experts_of_level = n * m + num_shared
        for i, size in enumerate(sizes):
            self.specific[i].build((None, n * m, size))
            self.shared[i].build((None, size))
            self.task_gates[i].build(
                x_shape=(None, n, size),
                experts_shape=(None, n, experts_of_task, out),
            )
        for gate, size in zip(self.shared_gates, sizes, strict=False):
            gate.build(
                x_shape=(None, size),
                experts_shape=(None, experts_of_level, out),
            )

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        n = self.num_tasks
        m = self.num_specific
        shared = self.flatten(h)  # [B, F d]
        tasks = shared  # what the tasks' gates read: [B, F d] of all, and later [B, N, out]
        for i, gate in enumerate(self.task_gates):
            is_first = i == 0
            each = shared if is_first else ops.repeat(tasks, m, axis=1)  # [B, N m, out]
            of_tasks = self.specific[i](each, training=training)  # [B, N m, out]
            of_all = self.shared[i](shared, training=training)  # [B, s, out]
            out = of_tasks.shape[-1]
            own = ops.reshape(of_tasks, (-1, n, m, out))  # [B, N, m, out]
            beside = ops.repeat(of_all[:, None], n, axis=1)  # [B, N, s, out]
            experts = ops.concatenate([own, beside], axis=2)  # [B, N, m + s, out]
            tasks = gate(tasks, experts)  # [B, N, out]
            if i < len(self.shared_gates):
                experts = ops.concatenate([of_tasks, of_all], axis=1)  # [B, N m + s, out]
                shared = self.shared_gates[i](shared, experts)  # [B, 1, out]
                shared = shared[:, 0]
        towers = self.towers(tasks, training=training)  # [B, N, units]
        return self.heads(towers)
