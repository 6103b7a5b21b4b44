"""Gates of mixtures of experts."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tafe_tf.layers.selector import smooth_step


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
        self.kernel = self.add_weight(
            name="kernel", shape=(self.count, x_shape[-1], experts_shape[-2])
        )
        self.built = True

    def weights_of(self, x: Any) -> Any:
        """The gates' weights, [B, G, E], each row a distribution."""
        return ops.softmax(
            ops.einsum("bi,gie->bge" if len(x.shape) == 2 else "bgi,gie->bge", x, self.kernel),
            axis=-1,
        )

    def call(self, x: Any, experts: Any) -> Any:
        """Mixes: [B, in], [B, E, out] -> [B, G, out]."""
        return ops.einsum(
            "bge,beo->bgo" if len(experts.shape) == 3 else "bge,bgeo->bgo",
            self.weights_of(x),
            experts,
        )

    def compute_output_shape(self, x_shape: Any, experts_shape: Any) -> tuple[int | None, int, int]:
        """[B, G, out]."""
        return (x_shape[0], self.count, experts_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable("tafe_tf")
class DSelectKGates(SoftmaxGates):
    """DSelect-k: sparse gates that still have gradients (Hazimeh et al. 2021, eq. 4 and 6).

    A gate is a mixture, by softmax(A x), of k selectors. A selector has a smooth step s_j = S(w_j x) for each of the
    log2 E bits of an expert's number, and gives expert e the product of s_j or 1 - s_j by its bits; once its steps are
    all 0 or 1 it selects one expert. S is the smooth step of TAFE's eq. 16, here with a constant gamma.

    Args:
        count: number of gates, G.
        num_selected: k, the most experts that a gate ends up with.
        gamma: width of the smooth step.
        entropy_weight: of the selectors' mean entropy, added to the loss in training; it drives them to one expert.

    Call arguments: as of `SoftmaxGates`; the number of experts E must be a power of two.
    """

    def __init__(
        self,
        count: int,
        num_selected: int = 2,
        gamma: float = 1.0,
        entropy_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(count, **kwargs)
        self.num_selected, self.gamma, self.entropy_weight = num_selected, gamma, entropy_weight

    def build(self, x_shape: Any, experts_shape: Any) -> None:
        """Makes the selectors' w, [G, in, k, log2 E], and A, [G, in, k]."""
        experts, k, size = experts_shape[-2], self.num_selected, x_shape[-1]
        bits = experts.bit_length() - 1
        if experts < 2 or experts != 2**bits or not 1 <= k <= experts:
            raise ValueError(
                "the number of experts must be a power of two, and `num_selected` at most that. "
                f"Received: {experts} experts, num_selected={k}"
            )
        near_half = keras.initializers.RandomUniform(-self.gamma / 100, self.gamma / 100)
        self.kernel = self.add_weight(
            name="kernel", shape=(self.count, size, k * bits), initializer=near_half
        )
        self.mixing = self.add_weight(name="mixing", shape=(self.count, size, k))
        self.code = [[float(e >> j & 1) for j in range(bits)] for e in range(experts)]  # [E, bits]
        self.built = True

    def weights_of(self, x: Any) -> Any:
        """The gates' weights, [B, G, E], each row a distribution."""
        read = "bi,gio->bgo" if len(x.shape) == 2 else "bgi,gio->bgo"
        code = ops.convert_to_tensor(self.code, dtype=self.compute_dtype)
        steps = smooth_step(ops.einsum(read, x, self.kernel), self.gamma)
        steps = ops.reshape(
            ops.cast(steps, code.dtype), (-1, self.count, self.num_selected, 1, code.shape[1])
        )
        selectors = ops.prod(steps * code + (1.0 - steps) * (1.0 - code), axis=-1)  # [B, G, k, E]
        if self.entropy_weight:
            entropy = -ops.sum(selectors * ops.log(selectors + 1e-6), axis=-1)
            self.add_loss(self.entropy_weight * ops.mean(ops.sum(entropy, axis=(1, 2))))
        mixture = ops.softmax(ops.einsum(read, x, self.mixing), axis=-1)  # [B, G, k]
        return ops.einsum("bgk,bgke->bge", mixture, selectors)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "num_selected": self.num_selected,
            "gamma": self.gamma,
            "entropy_weight": self.entropy_weight,
        }
        return {**super().get_config(), **config}
