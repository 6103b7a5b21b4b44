"""Cross-stitch units."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("tafe_tf")
class CrossStitch(keras.layers.Layer):
    """x~_i = sum_j alpha_ij x_j: each task's activations as a learned mixture of all tasks' (Misra et al. 2016, eq. 1).

    One unit a channel. A task starts with a share `same` of its own and the rest evenly of the others, as in section
    5.1 there.

    Args:
        same: alpha_ii at the start.

    Call arguments:
        x: [B, N, width].

    Returns:
        [B, N, width].
    """

    def __init__(self, same: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.same = same

    def build(self, x_shape: Any) -> None:
        """Makes alpha, [N, N, width]."""
        n, width = x_shape[-2:]
        start = np.full((n, n), (1.0 - self.same) / (n - 1))
        np.fill_diagonal(start, self.same)
        self.alpha = self.add_weight(name="alpha", shape=(n, n, width), initializer="zeros")
        self.alpha.assign(np.repeat(start[:, :, None], width, axis=2))
        self.built = True

    def call(self, x: Any) -> Any:
        """[B, N, width] -> [B, N, width]."""
        return ops.einsum("bjw,ijw->biw", x, self.alpha)

    def compute_output_shape(self, x_shape: Any) -> Any:
        """The input's."""
        return x_shape
