"""Single-Task: each task alone, the paper's first baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class SingleTask(FunnelModel):
    """N three-layer MLPs with embeddings of their own (section 4.1.2): no weight is shared.

    They train together, as one model: the loss is a sum over tasks, so none sees another's gradient as long as L_D,
    which ties neighbouring tasks, has weight 0.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        tower_units: sizes of each task's MLP.
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
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        own = {"tower_units": list(tower_units), "dropout": dropout}
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        self.embeddings = [self.make_embedding() for _ in range(num_tasks)]
        for embedding in self.embeddings:
            embedding.build()
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=self.dtype_policy)
        self.towers.build((None, num_tasks, self.num_fields * embedding_dim))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, tower_units[-1]))
        self.build()

    def embed(self, inputs: Any, training: bool) -> Any:
        """Ids [B, S] -> each task's own H, flattened, [B, N, F d]."""
        return ops.stack([self.flatten(embedding(inputs)) for embedding in self.embeddings], axis=1)

    def score(self, h: Any, training: bool) -> Any:
        """[B, N, F d] -> logits [B, N]."""
        return self.heads(self.towers(h, training=training))
