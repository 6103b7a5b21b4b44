"""The dynamic selector: a cubic smooth-step over a projection of the input, and its gamma schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def smooth_step(z: Any, gamma: Any) -> Any:
    """f_D of eq. 16: 0 up to -gamma/2, 1 from gamma/2 on, a cubic between; in float32, or float64 if z is.

    Written in u = z / gamma, clipped to [-1/2, 1/2], where the cubic is exactly 0 and 1: the literal 2 / gamma^3
    would overflow half precision.
    """
    z = ops.convert_to_tensor(z)
    wide = keras.backend.result_type(z.dtype, "float32")
    u = ops.clip(ops.cast(z, wide) / ops.convert_to_tensor(gamma, dtype=wide), -0.5, 0.5)
    return u * (1.5 - 2.0 * u * u) + 0.5


@keras.saving.register_keras_serializable("tafe_tf")
class GammaSchedule(keras.layers.Layer):
    """gamma of eq. 16: max(start (1 - step / decay_steps), end); with the defaults max(10 - 2e-4 step, 1e-3).

    The step is a weight: it is saved and restored with the model, and frozen into an export.

    Args:
        start: gamma at step 0.
        end: the least gamma.
        decay_steps: steps until gamma would reach 0. The paper's 50,000 are 51 M rows at B = 1024; a smaller
            set needs a shorter decay for the selector to become sparse.
    """

    def __init__(
        self, start: float = 10.0, end: float = 1e-3, decay_steps: float = 50_000.0, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not (start >= end > 0 and decay_steps > 0):
            raise ValueError(
                "`start` >= `end` > 0 and `decay_steps` > 0 must hold. "
                f"Received: start={start}, end={end}, decay_steps={decay_steps}"
            )
        self.start, self.end, self.decay_steps = start, end, decay_steps
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def value(self) -> Any:
        """The present gamma, a float32 scalar."""
        step = ops.cast(self.step, "float32")
        return ops.maximum(self.start * (1.0 - step / self.decay_steps), self.end)

    def advance(self) -> None:
        """Counts one training step."""
        self.step.assign(self.step + 1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "start": self.start,
            "end": self.end,
            "decay_steps": self.decay_steps,
        }


@keras.saving.register_keras_serializable("tafe_tf")
class SmoothStepSelector(keras.layers.Layer):
    """The dynamic selector z_K = f_D(MLP(H)) of eq. 14-16.

    Args:
        units: K.
        hidden_units: sizes of the MLP's ReLU layers before the last one; none by default (see Table 1's sizes).

    Call arguments:
        h: [B, F, d], flattened before the MLP.
        gamma: width of the smooth step, a float32 scalar; as an argument it is never cast to half precision.

    Returns:
        z, [B, K] in [0, 1], float32 (float64 under a float64 policy).
    """

    def __init__(self, units: int, hidden_units: Sequence[int] = (), **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units, self.hidden_units = units, list(hidden_units)
        self.hidden = [
            keras.layers.Dense(n, activation="relu", dtype=self.dtype_policy) for n in hidden_units
        ]
        self.projection = keras.layers.Dense(units, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Makes the MLP for a flattened input of F d numbers."""
        size = input_shape[-2] * input_shape[-1]
        for layer in [*self.hidden, self.projection]:
            layer.build((None, size))
            size = layer.units
        self.built = True

    def call(self, h: Any, gamma: Any) -> Any:
        """[B, F, d] -> [B, K]."""
        x = ops.reshape(h, (-1, h.shape[-2] * h.shape[-1]))
        for layer in self.hidden:
            x = layer(x)
        return smooth_step(self.projection(x), gamma)

    def compute_output_shape(self, h_shape: Any, gamma_shape: Any = None) -> tuple[int | None, int]:
        """[B, K]."""
        return (h_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "hidden_units": self.hidden_units}
