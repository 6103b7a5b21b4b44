"""The beta of sluice networks: what a task's head takes from each of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class LayerStitch(Configured):
    """h~_n = sum_l beta_nl h_nl: a task's learned mixture of what its L layers put out.

    This is eq. 2 of Ruder et al. (2019), with one number for each task and layer.

    Args:
        last: beta of the last layer at the start, a share from 0 to 1; 0.9 by default, as in the
            authors' code. The rest comes evenly from the layers before. A layer alone starts with
            1.

    Call arguments:
        layers: The outputs of the L layers, in order, [B, N, width] each.

    Returns:
        The mixtures, [B, N, width].

    Example:
        >>> import numpy as np
        >>> first, second = np.array([[[1.0]]]), np.array([[[11.0]]])
        >>> np.round(LayerStitch()([first, second]), 3).tolist()
        [[[10.0]]]
    """

    def __init__(self, last: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = last

    def build(self, shapes: Sequence[Shape]) -> None:
        """Makes beta, [N, L]."""
        count = len(shapes)
        n = shapes[0][1]
        start = np.ones((n, count))
        if count > 1:
            start[:, :-1] = (1.0 - self.last) / (count - 1)
            start[:, -1] = self.last
        self.beta = self.add_weight(
            name="beta",
            shape=(n, count),
            initializer="zeros",
        )
        self.beta.assign(start)
        self.built = True

    def call(self, layers: Sequence[Tensor]) -> Tensor:
        """Mixes: L times [B, N, width] -> [B, N, width]."""
        stacked = ops.stack(layers, axis=2)  # [B, N, L, width]
        return ops.einsum("nl,bnlw->bnw", self.beta, stacked)

    def compute_output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Returns the shape of one layer's output."""
        return shapes[0]
