"""A vector that the rows hold, such as a text's embedding, as a row of H."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.parts import Parts
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class VectorEncoder(Configured):
    """x W + b, and a vector of its own where x is missing.

    Args:
        dim: Embedding dimension, d.
        length: Number of numbers of a vector, n.
        first: The place of the first of them among the V numbers of all vectors; 0 by default.
        stddev: Standard deviation of the normal distribution that weights start from; 0.05 by
            default, so that the projection of a vector of length 1 starts like a row of the table.

    Call arguments:
        x: The vectors, [B, n]. One that holds NaN is missing.

    Returns:
        [B, d].

    Raises:
        ValueError: If a size is below 1.

    Example:
        >>> import numpy as np
        >>> encoder = VectorEncoder(4, length=3)
        >>> tuple(encoder(np.ones((2, 3))).shape)
        (2, 4)
    """

    def __init__(
        self,
        dim: int,
        length: int,
        first: int = 0,
        stddev: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(dim, length) < 1:
            received = f"dim={dim}, length={length}"
            raise ValueError(f"`dim` and `length` must be 1 or more. Received: {received}")
        self.dim = dim
        self.length = length
        self.first = first
        self.stddev = stddev

    def build(self, input_shape: Shape | None = None) -> None:
        """Makes the projection [n, d], its bias and the vector of missing ones, [d] each."""
        initializer = keras.initializers.RandomNormal(stddev=self.stddev)
        self.projection = self.add_weight(
            name="projection",
            shape=(self.length, self.dim),
            initializer=initializer,
        )
        self.bias = self.add_weight(name="bias", shape=(self.dim,), initializer="zeros")
        self.missing = self.add_weight(
            name="missing",
            shape=(self.dim,),
            initializer=keras.initializers.RandomNormal(stddev=self.stddev),
        )
        self.built = True

    def reads(self, parts: Parts) -> Tensor:
        """Picks the vectors, [B, n]."""
        return parts.vectors[:, self.first : self.first + self.length]

    def call(self, x: Tensor) -> Tensor:
        """Projects vectors: [B, n] -> [B, d]."""
        is_nan = ops.isnan(x)
        x = ops.where(is_nan, ops.zeros_like(x), x)
        h = ops.matmul(x, self.projection) + self.bias  # [B, d]
        is_missing = ops.any(is_nan, axis=1, keepdims=True)  # [B, 1]
        return ops.where(is_missing, ops.convert_to_tensor(self.missing), h)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns [B, d]."""
        return (input_shape[0], self.dim)
