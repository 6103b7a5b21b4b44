"""MMOE, multi-gate mixture of experts (Ma et al. 2018), with softmax or DSelect-k gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras

from tafe_tf.layers import DSelectKGates, SoftmaxGates, Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class MMOE(FunnelModel):
    """Shared experts on the flattened embeddings, mixed by a gate for each task.

    A tower and a head for each task follow: f_i(x) = h_i(sum_e softmax(W_i x)_e f_e(x)) (eq. 6 and
    7 there).

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        num_experts: Number of experts of mmoe, E; 8 by default. With dselect_k gates it must be a
            power of two.
        expert_units: Sizes of the layers of each expert of mmoe and ple; 256 and 128 by default.
        tower_units: Sizes of the layers of each task's tower; one layer of 64 units by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.
        gate: Kind of mmoe's gates: softmax (the default), or dselect_k for sparse ones, see
            `DSelectKGates`.
        num_selected: Largest number of experts that one of mmoe's dselect_k gates ends up with, k;
            2 by default.
        entropy_weight: Weight of the entropy of mmoe's dselect_k gates in the loss; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = MMOE(field_rows=[10, 20], num_tasks=2, gate="dselect_k")
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        num_experts: int = 8,
        expert_units: Sequence[int] = (256, 128),
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        gate: Literal["softmax", "dselect_k"] = "softmax",
        num_selected: int = 2,
        entropy_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        if gate not in ("softmax", "dselect_k"):
            raise ValueError(f"`gate` must be 'softmax' or 'dselect_k'. Received: gate={gate!r}")
        policy = self.dtype_policy
        mixed = expert_units[-1]
        self.embedding = self.make_embedding()
        self.experts = Towers(num_experts, expert_units, dropout, dtype=policy)
        if gate == "softmax":
            self.gates = SoftmaxGates(num_tasks, dtype=policy)
        else:
            self.gates = DSelectKGates(
                num_tasks, num_selected, entropy_weight=entropy_weight, dtype=policy
            )
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        flat_shape = (None, self.flat_size)
        self.experts.build(flat_shape)
        self.gates.build(flat_shape, (None, num_experts, mixed))
        self.towers.build((None, num_tasks, mixed))
        self.finish(tower_units[-1])

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        x = self.flatten(h)  # [B, F d]
        experts = self.experts(x, training=training)  # [B, E, out]
        mixed = self.gates(x, experts)  # [B, N, out]
        towers = self.towers(mixed, training=training)  # [B, N, units]
        return self.heads(towers)
