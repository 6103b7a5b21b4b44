"""Cross-stitch units."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class CrossStitch(Configured):
    """x~_i = sum_j alpha_ij x_j: each task's activations become a learned mixture of all tasks'.

    This is eq. 1 of Misra et al. (2016), with one alpha for each channel. A task starts with the
    share `same` of its own activations and the rest evenly from the others, as in section 5.1
    there.

    Args:
        same: alpha_ii at the start, a share from 0 to 1; 0.9 by default. A task alone has no others
            to take from, and starts with all of its own.

    Call arguments:
        x: The tasks' activations, [B, N, width].

    Returns:
        The mixtures, [B, N, width].

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [11.0]]])  # a row, two tasks, one channel
        >>> np.round(CrossStitch()(x), 3).tolist()
        [[[2.0], [10.0]]]
    """

    def __init__(self, same: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.same = same

    def build(self, x_shape: Shape) -> None:
        """Makes alpha, [N, N, width]."""
        _, n, width = x_shape
        start = np.eye(n)
        if n > 1:
            other = (1.0 - self.same) / (n - 1)  # alpha_ij for i != j
            start = np.full((n, n), other)
            np.fill_diagonal(start, self.same)
        start = start[:, :, None]  # [N, N, 1]
        self.alpha = self.add_weight(
            name="alpha",
            shape=(n, n, width),
            initializer="zeros",
        )
        self.alpha.assign(np.repeat(start, width, axis=2))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Mixes: [B, N, width] -> [B, N, width]."""
        return ops.einsum("bjw,ijw->biw", x, self.alpha)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """Returns the input's shape."""
        return x_shape
