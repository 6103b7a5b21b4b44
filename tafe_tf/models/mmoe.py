"""MMOE, multi-gate mixture of experts (Ma et al. 2018), with softmax or DSelect-k gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import DSelectKGates, SoftmaxGates, Towers
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class MMOE(FunnelModel):
    """Shared experts on the flattened embeddings, mixed by a softmax gate a task, then a tower and a head a task.

    f_i(x) = h_i(sum_e softmax(W_i x)_e f_e(x)) (eq. 6 and 7 there).

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        num_experts: E.
        expert_units: sizes of each expert.
        tower_units: sizes of each task's tower.
        dropout: rate after every layer of both in training.
        gate: "softmax", or "dselect_k" for `DSelectKGates`.
        num_selected: k of DSelect-k.
        entropy_weight: of DSelect-k's entropy.

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
        num_experts: int = 8,
        expert_units: Sequence[int] = (256, 128),
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        gate: str = "softmax",
        num_selected: int = 2,
        entropy_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        own = {
            "num_experts": num_experts,
            "expert_units": list(expert_units),
            "tower_units": list(tower_units),
            "dropout": dropout,
            "gate": gate,
            "num_selected": num_selected,
            "entropy_weight": entropy_weight,
        }
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        if gate not in ("softmax", "dselect_k"):
            raise ValueError(f"`gate` must be 'softmax' or 'dselect_k'. Received: gate={gate!r}")
        width, policy = self.num_fields * embedding_dim, self.dtype_policy
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.experts = Towers(num_experts, expert_units, dropout, dtype=policy)
        self.gates = (
            SoftmaxGates(num_tasks, dtype=policy)
            if gate == "softmax"
            else DSelectKGates(num_tasks, num_selected, entropy_weight=entropy_weight, dtype=policy)
        )
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.experts.build((None, width))
        self.gates.build((None, width), (None, num_experts, expert_units[-1]))
        self.towers.build((None, num_tasks, expert_units[-1]))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, tower_units[-1]))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        x = self.flatten(h)
        mixed = self.gates(x, self.experts(x, training=training))  # [B, N, out]
        return self.heads(self.towers(mixed, training=training))
