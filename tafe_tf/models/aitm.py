"""AITM, adaptive information transfer (Xi et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.losses import FunnelLoss
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class AITM(FunnelModel):
    """A tower a task on shared embeddings; what a step knows is handed to the next.

    z_1 = q_1, and z_i = AIT(g_i(z_{i-1}), q_i), where q_i is tower i's output, g_i a dense layer with ReLU and
    AIT(p, q) = sum_{u in {p, q}} softmax_u(<h1(u), h2(u)> / sqrt(k)) h3(u) with linear h (eq. 4 to 8 there). Its
    behavioural expectation calibrator is `FunnelLoss(order_weight=0.6)`.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        tower_units: sizes of each task's tower; k is the last.
        dropout: rate after every layer in training.

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
        tower_units: Sequence[int] = (128, 64, 32),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        own = {"tower_units": list(tower_units), "dropout": dropout}
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        policy, k = self.dtype_policy, tower_units[-1]
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.towers.build((None, self.num_fields * embedding_dim))
        self.hand_on = [Towers(1, [k], dropout, dtype=policy) for _ in range(num_tasks - 1)]
        self.projections = [
            keras.layers.Dense(3 * k, use_bias=False, dtype=policy) for _ in range(num_tasks - 1)
        ]
        for hand_on, projection in zip(self.hand_on, self.projections, strict=True):
            hand_on.build((None, k))
            projection.build((None, 2, k))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, k))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        q = self.towers(self.flatten(h), training=training)  # [B, N, k]
        z = [q[:, 0]]
        for i, (hand_on, projection) in enumerate(
            zip(self.hand_on, self.projections, strict=True), start=1
        ):
            u = ops.stack([hand_on(z[-1], training=training)[:, 0], q[:, i]], axis=1)  # [B, 2, k]
            h1, h2, h3 = ops.split(projection(u), 3, axis=-1)
            scores = ops.sum(h1 * h2, axis=-1) / math.sqrt(h1.shape[-1])  # [B, 2]
            z.append(ops.sum(ops.expand_dims(ops.softmax(scores, axis=-1), -1) * h3, axis=1))
        return self.heads(ops.stack(z, axis=1))

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """The loss of its paper, with the behavioural expectation calibrator."""
        return super().paper_loss(task_weights, **{"order_weight": 0.6, **kwargs})
