"""Gates of mixtures of experts."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tafe_tf")
class SoftmaxGates(keras.layers.Layer):
    """g_i(x) = softmax(W_i x), one gate a task, no bias (Ma et al. 2018, eq. 7), and the mixtures sum_e g_ie f_e.

    Args:
        count: number of gates, G.

    Call arguments:
        x: what the gates read, [B, in], or [B, G, in], each its own.
        experts: [B, E, out], mixed by every gate, or [B, G, E, out], each its own.

    Returns:
        Mixtures [B, G, out].
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, x_shape: Any, experts_shape: Any) -> None:
        """Makes the kernels W, [G, in, E]."""
        self.kernel = self.add_weight(name="kernel", shape=(self.count, x_shape[-1], experts_shape[-2]))
        self.built = True

    def weights_of(self, x: Any) -> Any:
        """The gates' weights, [B, G, E], each row a distribution."""
        return ops.softmax(ops.einsum("bi,gie->bge" if len(x.shape) == 2 else "bgi,gie->bge", x, self.kernel), axis=-1)

    def call(self, x: Any, experts: Any) -> Any:
        """Mixes: [B, in], [B, E, out] -> [B, G, out]."""
        return ops.einsum("bge,beo->bgo" if len(experts.shape) == 3 else "bge,bgeo->bgo", self.weights_of(x), experts)

    def compute_output_shape(self, x_shape: Any, experts_shape: Any) -> tuple[int | None, int, int]:
        """[B, G, out]."""
        return (x_shape[0], self.count, experts_shape[-1])
