"""Shared-Bottom: one representation for all tasks (Caruana 1997), the paper's second baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class SharedBottom(FunnelModel):
    """A shared MLP on the flattened embeddings, then a tower and a linear head a task.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        bottom_units: sizes of the shared MLP.
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
        bottom_units: Sequence[int] = (256, 128),
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        own = {
            "bottom_units": list(bottom_units),
            "tower_units": list(tower_units),
            "dropout": dropout,
        }
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.bottom = Towers(1, bottom_units, dropout, dtype=self.dtype_policy)
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=self.dtype_policy)
        self.bottom.build((None, self.num_fields * embedding_dim))
        self.towers.build((None, bottom_units[-1]))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, tower_units[-1]))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        shared = self.bottom(self.flatten(h), training=training)[:, 0]
        return self.heads(self.towers(shared, training=training))
