"""Several MLPs of one size, side by side: experts and task towers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tafe_tf")
class Towers(keras.layers.Layer):
    """`count` MLPs with ReLU after every layer, one batched product a layer.

    Each tower starts from a Glorot-uniform draw of its own: experts that start alike stay alike.

    Args:
        count: number of towers, T.
        units: sizes of their layers, one or more.
        dropout: rate after every layer in training.

    Call arguments:
        x: [B, in], read by all towers, or [B, T, in], each its own.
        training: True applies dropout.

    Returns:
        [B, T, units[-1]].
    """

    def __init__(
        self, count: int, units: Sequence[int], dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if count < 1 or not units or min(units) < 1:
            raise ValueError(
                f"`count` and all of `units` must be 1 or more. Received: count={count}, units={list(units)}"
            )
        self.count, self.units, self.dropout = count, [int(size) for size in units], dropout
        self._drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, x_shape: Any) -> None:
        """Makes the kernels [T, in, out] and biases [T, out] of every layer."""
        self.kernels, self.biases, width = [], [], x_shape[-1]
        for i, size in enumerate(self.units):
            limit = math.sqrt(6.0 / (width + size))
            start = keras.initializers.RandomUniform(-limit, limit)
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{i}", shape=(self.count, width, size), initializer=start
                )
            )
            self.biases.append(
                self.add_weight(name=f"bias_{i}", shape=(self.count, size), initializer="zeros")
            )
            width = size
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """[B, in] or [B, T, in] -> [B, T, units[-1]]."""
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = ops.einsum("bi,tio->bto" if len(x.shape) == 2 else "bti,tio->bto", x, kernel)
            x = self._drop(ops.relu(x + bias), training=training)
        return x

    def compute_output_shape(self, x_shape: Any) -> tuple[int | None, int, int]:
        """[B, T, units[-1]]."""
        return (x_shape[0], self.count, self.units[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "count": self.count,
            "units": self.units,
            "dropout": self.dropout,
        }
