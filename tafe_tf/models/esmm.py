"""ESMM, the entire space multi-task model (Ma et al. 2018), for funnels of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import product_logits


@keras.saving.register_keras_serializable("tafe_tf")
class ESMM(FunnelModel):
    """A tower for each conditional step on shared embeddings; f_i is their product up to i.

    Both pCTR and pCTCVR = pCTR pCVR are learned over the entire space, pCVR through their product alone (eq. 2 to 4
    there): f never rises along the funnel.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        tower_units: sizes of each step's tower.
        dropout: rate after every layer in training.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies dropout.

    Returns:
        Logits [B, N].
    """

    products = True

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
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=self.dtype_policy)
        self.towers.build((None, self.num_fields * embedding_dim))
        self.heads = self.make_heads()
        self.heads.build((None, num_tasks, tower_units[-1]))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        return product_logits(self.heads(self.towers(self.flatten(h), training=training)))
