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
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class AITM(FunnelModel):
    """A tower for each task on shared embeddings; what a step knows is handed to the next.

    z_1 = q_1, and z_i = AIT(g_i(z_{i-1}), q_i), where q_i is tower i's output, g_i a dense layer
    with ReLU and AIT(p, q) = sum_{u in {p, q}} softmax_u(<h1(u), h2(u)> / sqrt(k)) h3(u) with
    linear h (eq. 4 to 8 there). Its behavioural expectation calibrator is
    `FunnelLoss(order_weight=0.6)`.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        tower_units: Sizes of the layers of each task's tower, the last one k; 128, 64 and 32 by
            default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = AITM(field_rows=[10, 20], num_tasks=3)
        >>> tuple(model(np.array([[1, 2], [3, 4]])).shape)
        (2, 3)
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
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        policy = self.dtype_policy
        k = tower_units[-1]
        later = range(1, num_tasks)
        self.embedding = self.make_embedding()
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.towers.build((None, self.flat_size))
        self.hand_on = []  # g_2, ..., g_N
        for _ in later:
            hand_on = Towers(1, [k], dropout, dtype=policy)
            self.hand_on.append(hand_on)
        self.projections = []  # h1, h2 and h3 of each later task, side by side
        for _ in later:
            projection = keras.layers.Dense(
                3 * k,
                use_bias=False,
                dtype=policy,
            )
            self.projections.append(projection)
        for hand_on, projection in zip(self.hand_on, self.projections, strict=True):
            hand_on.build((None, k))
            projection.build((None, 2, k))
        self.finish(k)

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        flat = self.flatten(h)  # [B, F d]
        q = self.towers(flat, training=training)  # [B, N, k]
        z = [q[:, 0]]
        pairs = zip(self.hand_on, self.projections, strict=True)
        for i, (hand_on, projection) in enumerate(pairs, start=1):
            p = hand_on(z[-1], training=training)  # [B, 1, k]
            transferred = self._transfer(
                p[:, 0],
                q[:, i],
                projection,
            )
            z.append(transferred)
        stacked = ops.stack(z, axis=1)  # [B, N, k]
        return self.heads(stacked)

    def _transfer(
        self,
        p: Tensor,
        q: Tensor,
        projection: keras.layers.Layer,
    ) -> Tensor:
        """Computes AIT(p, q): two of [B, k] -> [B, k]."""
        u = ops.stack([p, q], axis=1)  # [B, 2, k]
        h1, h2, h3 = ops.split(projection(u), 3, axis=-1)
        k = h1.shape[-1]
        products = ops.sum(h1 * h2, axis=-1)  # [B, 2]
        scores = products / math.sqrt(k)
        shares = ops.softmax(scores, axis=-1)
        shares = ops.expand_dims(shares, -1)  # [B, 2, 1]
        return ops.sum(shares * h3, axis=1)

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of its paper, with the behavioural expectation calibrator."""
        settings = {"order_weight": 0.6, **kwargs}
        return super().paper_loss(task_weights, **settings)
