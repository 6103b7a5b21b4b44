"""ESMM, the entire space multi-task model (Ma et al. 2018), for funnels of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import product_logits
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ESMM(FunnelModel):
    """A tower for each conditional step on shared embeddings; f_i is their product up to step i.

    Both pCTR and pCTCVR = pCTR pCVR are learned over the entire space, pCVR through their product
    alone (eq. 2 to 4 there), so f never rises along the funnel.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        tower_units: Sizes of the layers of each step's tower; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = ESMM(field_rows=[10, 20], num_tasks=2)
        >>> ctr, ctcvr = np.array(model(np.array([[1, 2]])))[0]
        >>> bool(ctcvr < ctr)
        True
    """

    products = True

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        heads: Literal["conditional"] = "conditional",
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, heads=heads, **kwargs)
        self.embedding = self.make_embedding()
        self.towers = Towers(
            num_tasks,
            tower_units,
            dropout,
            dtype=self.dtype_policy,
        )
        self.towers.build((None, self.flat_size))
        self.finish(tower_units[-1])

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        flat = self.flatten(h)  # [B, F d]
        towers = self.towers(flat, training=training)  # [B, N, units]
        out = self.heads(towers)  # [B, N]
        conditionals = out[:, : self.num_tasks] if self.amount_columns else out
        return self.with_amount(product_logits(conditionals), out)
