"""Several MLPs of one size, side by side: experts and task towers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class Towers(Configured):
    """Several MLPs with ReLU after every layer, computed in one batched product per layer.

    Each tower starts from a Glorot-uniform draw of its own: experts that start alike stay alike.

    Args:
        count: Number of towers, T.
        units: Sizes of their layers, one or more.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Call arguments:
        x: [B, in], read by all towers, or [B, T, in], each its own.
        training: Whether to apply dropout.

    Returns:
        The last layers' activations, [B, T, units[-1]].

    Raises:
        ValueError: If `count` or one of `units` is below 1, or there are no `units`.

    Example:
        >>> import numpy as np
        >>> towers = Towers(count=2, units=[8, 4])
        >>> tuple(towers(np.ones((3, 5))).shape)
        (3, 2, 4)
    """

    def __init__(
        self,
        count: int,
        units: Sequence[int],
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if count < 1 or not units or min(units) < 1:
            raise ValueError(
                "`count` and all of `units` must be 1 or more. "
                f"Received: count={count}, units={list(units)}"
            )
        self.count = count
        self.units = [int(size) for size in units]
        self._drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, x_shape: Shape) -> None:
        """Makes the kernels [T, in, out] and biases [T, out] of every layer."""
        self.kernels = []
        self.biases = []
        width = x_shape[-1]
        for i, size in enumerate(self.units):
            limit = math.sqrt(6.0 / (width + size))  # Glorot's, of each tower's [in, out] matrix
            start = keras.initializers.RandomUniform(-limit, limit)
            kernel = self.add_weight(
                name=f"kernel_{i}",
                shape=(self.count, width, size),
                initializer=start,
            )
            bias = self.add_weight(
                name=f"bias_{i}",
                shape=(self.count, size),
                initializer="zeros",
            )
            self.kernels.append(kernel)
            self.biases.append(bias)
            width = size
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Computes [B, in] or [B, T, in] -> [B, T, units[-1]]."""
        has_own = len(x.shape) == 3
        if has_own:
            x = ops.transpose(x, (1, 0, 2))  # [T, B, in]: a product a tower, and nothing to turn
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = ops.matmul(x, kernel)  # [T, B, out]
            x = ops.relu(x + ops.expand_dims(bias, 1))
            x = self._drop(x, training=training)
        return ops.transpose(x, (1, 0, 2))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """Returns [B, T, units[-1]]."""
        return (x_shape[0], self.count, self.units[-1])
