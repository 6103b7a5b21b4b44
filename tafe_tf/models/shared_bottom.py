"""Shared-Bottom: one representation for all tasks (Caruana 1997), the paper's second baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class SharedBottom(FunnelModel):
    """A shared MLP on the flattened embeddings, then a tower and a linear head for each task.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        bottom_units: Sizes of the layers of shared_bottom's shared MLP; 256 and 128 by default.
        tower_units: Sizes of the layers of each task's tower; one layer of 64 units by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = SharedBottom(field_rows=[10, 20], num_tasks=2)
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        bottom_units: Sequence[int] = (256, 128),
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        self.embedding = self.make_embedding()
        policy = self.dtype_policy
        self.bottom = Towers(1, bottom_units, dropout, dtype=policy)
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        self.bottom.build((None, self.flat_size))
        self.towers.build((None, bottom_units[-1]))
        self.finish(tower_units[-1])

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        flat = self.flatten(h)  # [B, F d]
        shared = self.bottom(flat, training=training)  # [B, 1, out]
        shared = shared[:, 0]
        towers = self.towers(shared, training=training)  # [B, N, units]
        return self.heads(towers)
