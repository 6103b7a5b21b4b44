"""PLE, progressive layered extraction (Tang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import SoftmaxGates, Towers
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class PLE(FunnelModel):
    """Levels of customized gate control (CGC): experts of each task beside shared ones.

    A task's gate mixes its own experts and the shared ones; the shared gate mixes all, and the last level has none.
    Experts and gates of level 1 read the flattened embeddings, those of a later level the mixtures of their own
    task's (or the shared) gate below (eq. 5 to 7 there). A tower and a head a task follow.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        num_levels: CGC levels.
        num_specific: experts of each task in each level.
        num_shared: shared experts in each level.
        expert_units: sizes of each expert.
        tower_units: sizes of each task's tower.
        dropout: rate after every layer of both in training.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies dropout.

    Returns:
        Logits [B, N].
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
        own = {
            "num_levels": num_levels,
            "num_specific": num_specific,
            "num_shared": num_shared,
            "expert_units": list(expert_units),
            "tower_units": list(tower_units),
            "dropout": dropout,
        }
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        policy, width, out = self.dtype_policy, self.num_fields * embedding_dim, expert_units[-1]
        self.num_specific, self.num_shared = num_specific, num_shared
        self.embedding = self.make_embedding()
        self.embedding.build()
        specific = num_tasks * num_specific
        self.specific = [
            Towers(specific, expert_units, dropout, dtype=policy) for _ in range(num_levels)
        ]
        self.shared = [
            Towers(num_shared, expert_units, dropout, dtype=policy) for _ in range(num_levels)
        ]
        self.task_gates = [SoftmaxGates(num_tasks, dtype=policy) for _ in range(num_levels)]
        self.shared_gates = [SoftmaxGates(1, dtype=policy) for _ in range(num_levels - 1)]
        for i in range(num_levels):
            size = out if i else width
            self.specific[i].build((None, specific, size))
            self.shared[i].build((None, size))
            self.task_gates[i].build(
                (None, num_tasks, size), (None, num_tasks, num_specific + num_shared, out)
            )
        for i, gate in enumerate(self.shared_gates):
            gate.build((None, out if i else width), (None, specific + num_shared, out))
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.towers.build((None, num_tasks, out))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, tower_units[-1]))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        n, m = self.num_tasks, self.num_specific
        shared = self.flatten(h)  # [B, F d]
        tasks = ops.repeat(shared[:, None], n, axis=1)  # [B, N, F d]
        for i, gate in enumerate(self.task_gates):
            of_tasks = self.specific[i](
                ops.repeat(tasks, m, axis=1), training=training
            )  # [B, N m, out]
            of_all = self.shared[i](shared, training=training)  # [B, s, out]
            beside = ops.repeat(of_all[:, None], n, axis=1)  # [B, N, s, out]
            own = ops.reshape(of_tasks, (-1, n, m, of_tasks.shape[-1]))
            tasks = gate(tasks, ops.concatenate([own, beside], axis=2))  # [B, N, out]
            if i < len(self.shared_gates):
                shared = self.shared_gates[i](shared, ops.concatenate([of_tasks, of_all], axis=1))[
                    :, 0
                ]
        return self.heads(self.towers(tasks, training=training))
