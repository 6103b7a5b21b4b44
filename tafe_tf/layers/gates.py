"""Gates of mixtures of experts."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.selector import smooth_step
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class SoftmaxGates(Configured):
    """Mixtures sum_e g_ie f_e of experts by the gates g_i(x) = softmax(W_i x), without biases.

    This is eq. 7 of Ma et al. (2018), with one gate for each task.

    Args:
        count: Number of gates, G.

    Call arguments:
        x: What the gates read: [B, in], the same for all, or [B, G, in], each its own.
        experts: What they mix: [B, E, out], the same for all, or [B, G, E, out], each its own.

    Returns:
        The mixtures, [B, G, out].

    Example:
        >>> import numpy as np
        >>> gates = SoftmaxGates(2)
        >>> tuple(gates(np.ones((3, 5)), np.ones((3, 4, 6))).shape)
        (3, 2, 6)
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, x_shape: Shape, experts_shape: Shape) -> None:
        """Makes the kernels W, [G, in, E]."""
        size = x_shape[-1]
        experts = experts_shape[-2]
        shape = (self.count, size, experts)
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.built = True

    def project(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Multiplies each gate's input by its own matrix: [B, (G,) in], [G, in, m] -> [B, G, m]."""
        is_shared = len(x.shape) == 2
        equation = "bi,gio->bgo" if is_shared else "bgi,gio->bgo"
        return ops.einsum(equation, x, kernel)

    def weights_of(self, x: Tensor) -> Tensor:
        """Returns the gates' weights, [B, G, E], each row a distribution over the experts."""
        logits = self.project(x, self.kernel)
        return ops.softmax(logits, axis=-1)

    def call(self, x: Tensor, experts: Tensor) -> Tensor:
        """Mixes: [B, in], [B, E, out] -> [B, G, out]."""
        weights = self.weights_of(x)  # [B, G, E]
        are_shared = len(experts.shape) == 3
        if are_shared:
            return ops.matmul(weights, experts)
        of_each = ops.expand_dims(weights, 2)  # [B, G, 1, E]
        mixtures = ops.matmul(of_each, experts)  # [B, G, 1, out]
        return ops.squeeze(mixtures, 2)

    def compute_output_shape(self, x_shape: Shape, experts_shape: Shape) -> Shape:
        """Returns [B, G, out]."""
        batch = x_shape[0]
        out = experts_shape[-1]
        return (batch, self.count, out)


@keras.saving.register_keras_serializable("tafe_tf")
class DSelectKGates(SoftmaxGates):
    """DSelect-k: sparse gates that still have gradients (Hazimeh et al. 2021, eq. 4 and 6).

    A gate is a mixture, by softmax(A x), of k selectors. A selector has a smooth step s_j = S(w_j
    x) for each of the log2 E bits of an expert's number, and gives expert e the product of s_j or
    1 - s_j by its bits; once its steps are all 0 or 1 it selects one expert. S is the smooth step
    of TAFE's eq. 16, here with a constant gamma.

    Args:
        count: Number of gates, G.
        num_selected: Largest number of experts that a gate ends up with, k; 2 by default.
        gamma: Width of the smooth step; 1 by default.
        entropy_weight: Weight of the selectors' mean entropy, which is added to the loss in
            training and drives each selector to one expert; 0 by default, which leaves it out.

    Call arguments:
        x: What the gates read, as of `SoftmaxGates`.
        experts: What they mix, as of `SoftmaxGates`; their number E must be a power of two.

    Returns:
        The mixtures, [B, G, out].

    Raises:
        ValueError: If E is not a power of two, or `num_selected` is larger than E.

    Example:
        >>> import numpy as np
        >>> gates = DSelectKGates(2, num_selected=2)
        >>> tuple(gates(np.ones((3, 5)), np.ones((3, 4, 6))).shape)
        (3, 2, 6)
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
        self.num_selected = num_selected
        self.gamma = gamma
        self.entropy_weight = entropy_weight

    def build(self, x_shape: Shape, experts_shape: Shape) -> None:
        """Makes the selectors' w, [G, in, k log2 E], and A, [G, in, k]."""
        experts = experts_shape[-2]
        k = self.num_selected
        size = x_shape[-1]
        bits = experts.bit_length() - 1
        is_power_of_two = experts >= 2 and experts == 2**bits
        if not is_power_of_two or not 1 <= k <= experts:
            raise ValueError(
                "the number of experts must be a power of two, and `num_selected` at most that. "
                f"Received: {experts} experts, num_selected={k}"
            )
        limit = self.gamma / 100
        near_half = keras.initializers.RandomUniform(-limit, limit)  # of the smooth step
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.count, size, k * bits),
            initializer=near_half,
        )
        self.mixing = self.add_weight(
            name="mixing",
            shape=(self.count, size, k),
        )
        self.code: list[list[float]] = []  # the bits of each expert's number, [E, bits]
        for expert in range(experts):
            bits_of_expert = [float(expert >> bit & 1) for bit in range(bits)]
            self.code.append(bits_of_expert)
        self.built = True

    def weights_of(self, x: Tensor) -> Tensor:
        """Returns the gates' weights, [B, G, E], each row a distribution over the experts."""
        code = ops.convert_to_tensor(self.code, dtype=self.compute_dtype)  # [E, bits]
        _, bits = code.shape
        selecting = self.project(x, self.kernel)  # [B, G, k bits]
        steps = smooth_step(selecting, self.gamma)
        steps = ops.cast(steps, code.dtype)
        steps = ops.reshape(steps, (-1, self.count, self.num_selected, 1, bits))
        if_set = steps * code  # where the expert's bit is 1, [B, G, k, E, bits]
        if_clear = (1.0 - steps) * (1.0 - code)  # where it is 0
        chances = if_set + if_clear
        selectors = ops.prod(chances, axis=-1)  # [B, G, k, E]
        if self.entropy_weight:
            self._add_entropy(selectors)
        mixing = self.project(x, self.mixing)
        mixture = ops.softmax(mixing, axis=-1)  # [B, G, k]
        return ops.einsum("bgk,bgke->bge", mixture, selectors)

    def _add_entropy(self, selectors: Tensor) -> None:
        """Adds the selectors' entropy, a mean over rows and a sum over selectors, to the loss."""
        logs = ops.log(selectors + 1e-6)  # [B, G, k, E]
        entropy = -ops.sum(selectors * logs, axis=-1)  # [B, G, k]
        of_rows = ops.sum(entropy, axis=(1, 2))  # [B]
        mean = ops.mean(of_rows)
        self.add_loss(self.entropy_weight * mean)
