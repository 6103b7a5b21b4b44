"""The dynamic selector, the smooth step that closes it, and the schedule of that step's gamma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


def smooth_step(z: Tensor, gamma: Tensor | float) -> Tensor:
    """The cubic smooth step f_D of eq. 16: 0 up to -gamma/2, 1 from gamma/2 on.

    It is computed in u = z / gamma, clipped to [-1/2, 1/2], where the cubic is exactly 0 and 1: the
    literal 2 / gamma^3 of the paper would overflow half precision.

    Args:
        z: Numbers of any shape.
        gamma: Width of the step, a positive scalar.

    Returns:
        Numbers from 0 to 1 of the same shape, in float64 if `z` is, otherwise in float32.

    Example:
        >>> smooth_step([-2.0, -0.5, 0.0, 2.0], gamma=2.0).numpy().tolist()
        [0.0, 0.15625, 0.5, 1.0]
    """
    z = ops.convert_to_tensor(z)
    wide = keras.backend.result_type(z.dtype, "float32")
    z = ops.cast(z, wide)
    gamma = ops.convert_to_tensor(gamma, dtype=wide)
    u = ops.clip(z / gamma, -0.5, 0.5)
    cubic = u * (1.5 - 2.0 * u * u)
    return cubic + 0.5


@keras.saving.register_keras_serializable("tafe_tf")
class GammaSchedule(Configured):
    """The schedule of gamma in eq. 16: max(start (1 - step / decay_steps), end).

    With the defaults that is the paper's max(10 - 2e-4 step, 1e-3). The step is a weight: it is
    saved and restored with the model, and frozen into an export.

    Args:
        start: Gamma at step 0; 10 by default.
        end: The smallest gamma; 0.001 by default.
        decay_steps: Number of training steps after which gamma would reach 0 without `end`; 50,000
            by default. At the paper's batch of 1,024 rows these are 51 million rows, so a smaller
            dataset needs a shorter decay for the selector to become sparse.

    Raises:
        ValueError: Unless `start` >= `end` > 0 and `decay_steps` > 0.

    Example:
        >>> gamma = GammaSchedule(start=4.0, end=0.5, decay_steps=8)
        >>> float(gamma.value())
        4.0
        >>> gamma.advance()
        >>> float(gamma.value())
        3.5
    """

    def __init__(
        self,
        start: float = 10.0,
        end: float = 1e-3,
        decay_steps: float = 50_000.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not (start >= end > 0 and decay_steps > 0):
            raise ValueError(
                "`start` >= `end` > 0 and `decay_steps` > 0 must hold. "
                f"Received: start={start}, end={end}, decay_steps={decay_steps}"
            )
        self.start = start
        self.end = end
        self.decay_steps = decay_steps
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def value(self) -> Tensor:
        """Returns the present gamma, a float32 scalar."""
        step = ops.cast(self.step, "float32")
        line = self.start * (1.0 - step / self.decay_steps)
        return ops.maximum(line, self.end)

    def advance(self) -> None:
        """Counts one training step."""
        self.step.assign(self.step + 1)


@keras.saving.register_keras_serializable("tafe_tf")
class SmoothStepSelector(Configured):
    """The dynamic selector of eq. 14-16: z_K = f_D(MLP(H)), where f_D is `smooth_step`.

    Args:
        units: Number of selector units, K.
        hidden_units: Sizes of the MLP's ReLU layers before the last, linear one; none by default,
            which gives the sizes of the paper's Table 1.

    Call arguments:
        h: [B, F, d], flattened before the MLP.
        gamma: Width of the smooth step, a float32 scalar. As an argument of the call it is never
            cast to half precision.

    Returns:
        z, [B, K], numbers from 0 to 1, in float32 (float64 under a float64 policy).

    Example:
        >>> import numpy as np
        >>> selector = SmoothStepSelector(units=3)
        >>> tuple(selector(np.ones((2, 5, 4)), gamma=1.0).shape)
        (2, 3)
    """

    def __init__(
        self,
        units: int,
        hidden_units: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        policy = self.dtype_policy
        self.units = units
        self.hidden = []
        for size in hidden_units:
            layer = keras.layers.Dense(
                size,
                activation="relu",
                dtype=policy,
            )
            self.hidden.append(layer)
        self.projection = keras.layers.Dense(units, dtype=policy)

    def build(self, h_shape: Shape, gamma_shape: Shape | None = None) -> None:
        """Makes the MLP for a flattened input of F d numbers."""
        *_, fields, dim = h_shape
        size = fields * dim
        for layer in [*self.hidden, self.projection]:
            layer.build((None, size))
            size = layer.units
        self.built = True

    def call(self, h: Tensor, gamma: Tensor) -> Tensor:
        """Computes z: [B, F, d] -> [B, K]."""
        _, fields, dim = h.shape
        x = ops.reshape(h, (-1, fields * dim))  # [B, F d]
        for layer in self.hidden:
            x = layer(x)
        mlp = self.projection(x)  # MLP(H), [B, K]
        return smooth_step(mlp, gamma)

    def compute_output_shape(self, h_shape: Shape, gamma_shape: Shape | None = None) -> Shape:
        """Returns [B, K]."""
        return (h_shape[0], self.units)
