"""A linear head for each task, and for the amount that the last step brings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tafe_tf.types import Shape, Tensor

_AMOUNT = 2  # numbers that a head of an amount gives


@keras.saving.register_keras_serializable("tafe_tf")
class HeadsWithAmount(keras.layers.EinsumDense):
    """A linear head a task, as `EinsumDense` has them, and one of two numbers for the amount.

    Args:
        count: Number of heads, C.
        place: Whose representation the amount's head reads, from 0.

    Call arguments:
        x: Representations, [B, C, width].

    Returns:
        [B, C + 2], the amount's numbers last.

    Example:
        >>> import numpy as np
        >>> heads = HeadsWithAmount(count=3, place=1)
        >>> tuple(heads(np.zeros((5, 3, 4))).shape)
        (5, 5)
    """

    def __init__(self, count: int, place: int, **kwargs: Any) -> None:
        super().__init__("bnd,nd->bn", output_shape=count, bias_axes="n", **kwargs)
        self.count = count
        self.place = place

    def build(self, input_shape: Shape) -> None:
        """Makes the weights."""
        super().build(input_shape)
        width = input_shape[-1]
        self.amount_kernel = self.add_weight(
            name="amount_kernel",
            shape=(width, _AMOUNT),
            initializer="glorot_uniform",
        )
        self.amount_bias = self.add_weight(
            name="amount_bias",
            shape=(_AMOUNT,),
            initializer="zeros",
        )

    def call(self, x: Tensor) -> Tensor:
        """Computes the heads: [B, C, width] -> [B, C + 2]."""
        of_tasks = super().call(x)
        of_amount = ops.matmul(x[:, self.place], self.amount_kernel) + self.amount_bias
        return ops.concatenate([of_tasks, of_amount], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns [B, C + 2]."""
        return (input_shape[0], self.count + _AMOUNT)

    def save_own_variables(self, store: Any) -> None:
        """Saves all variables, where `EinsumDense` knows of its own two alone."""
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved."""
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        for name in ("equation", "output_shape", "bias_axes"):
            config.pop(name)
        return {**config, "count": self.count, "place": self.place}
