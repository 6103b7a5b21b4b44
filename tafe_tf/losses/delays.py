"""How long steps take to be seen, learned while training, and what rows show until then."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tafe_tf.types import Tensor

_MEANS_IN_A_WINDOW = 3.0  # at the start: of what happens within the window, 95 % in its first third
_WEEK = 604_800.0  # seconds
_YOUNGEST = 1.0  # second: a row of age 0 shows nothing, of which there is no logarithm
_NEVER = -1e9  # the logarithm of a probability of 0, finite so that its gradient is
_SMALLEST = 1e-6  # of what `_log_not_exp` is taken of


class ExponentialDelay:
    """The share of each step that a row of some age shows (Chapelle 2014).

    A step that happens takes an exponentially distributed time from the row on, and counts if that
    is not more than its window W_i. So of the rows in which step i happens, those of age e show it
    in a share

        F_i(e) = (1 - exp(-lambda_i e)) / (1 - exp(-lambda_i W_i))    for e < W_i, and 1 from W_i on

    whatever their features, and P(step i is seen by age e) = f_i F_i(e). A loss of what is seen is
    therefore least at the true f_i, if it is given the logits of f_i F_i(e) in place of those of
    f_i. No time of a step itself is needed: the paper's likelihood has it, and this one is that of
    the labels alone.

    Args:
        windows: W_1, ..., W_N in seconds; 0 for a step that is seen at once.

    Attributes:
        numbers: log lambda_i, of lambda_i in 1 / second, [N]: what is learned. At the start,
            lambda_i W_i = 3.

    Raises:
        ValueError: If a window is negative.

    Example:
        >>> delay = ExponentialDelay(windows=[0.0, 100.0])
        >>> rates = [1.0, np.log(4.0) / 100.0]  # halved every 50 seconds
        >>> _ = delay.numbers.assign(np.log(rates))
        >>> logits = np.zeros((2, 2))  # f = 1/2
        >>> seen = delay.seen_logits(logits, ages=np.array([50.0, 100.0]))
        >>> np.round(1.0 / (1.0 + np.exp(-seen)), 4).tolist()  # 1/2 times 2/3, and 1/2
        [[0.5, 0.3333], [0.5, 0.5]]
    """

    def __init__(self, windows: Sequence[float]) -> None:
        if min(windows) < 0.0:
            raise ValueError(f"`windows` must be 0 or more. Received: windows={list(windows)}")
        self.windows = [float(window) for window in windows]
        lengths = np.array([window or _WEEK for window in self.windows])
        start = np.log(_MEANS_IN_A_WINDOW / lengths)
        self.numbers = keras.Variable(
            start.astype(np.float32),
            trainable=True,
            name="log_delay_rates",
        )

    def seen_logits(self, logits: Tensor, ages: Tensor) -> Tensor:
        """Computes the logits of f_i F_i(e), of what rows of their age show.

        Args:
            logits: Logits of f, [B, N].
            ages: e, how old the rows are in seconds, [B].

        Returns:
            [B, N], the logits themselves where a row is as old as a step's window or older.
        """
        log_share, log_rest = self.log_shares(ops.cast(ages, logits.dtype))
        # f F / (1 - f F) = exp(z) F / (1 + exp(z) (1 - F)) with f = sigmoid(z): no cancellation.
        return logits + log_share - ops.softplus(logits + log_rest)

    def log_shares(self, ages: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log F_i(e) and log(1 - F_i(e)).

        Args:
            ages: e in seconds, [B].

        Returns:
            Both, [B, N] each.
        """
        windows = ops.convert_to_tensor(self.windows, dtype=ages.dtype)  # [N]
        lengths = ops.where(windows > 0, windows, 1.0)
        ages = ops.expand_dims(ages, -1)  # [B, 1]
        is_old = ages >= windows  # [B, N]
        is_old = ops.logical_or(is_old, windows == 0)
        # Old rows take part with any age, and their gradient is 0.
        passed = ops.where(is_old, 0.5 * lengths, ops.maximum(ages, _YOUNGEST))
        rates = ops.exp(ops.cast(self.numbers, ages.dtype))  # lambda, [N]
        of_window = _log_not_exp(rates * lengths)
        log_share = _log_not_exp(rates * passed) - of_window
        log_rest = _log_not_exp(rates * (lengths - passed)) - rates * passed - of_window
        log_share = ops.minimum(log_share, 0.0)
        return ops.where(is_old, 0.0, log_share), ops.where(is_old, _NEVER, log_rest)

    def mean_delays(self) -> Tensor:
        """Returns 1 / lambda_i in seconds, [N], the mean of all delays, with no window."""
        return ops.exp(-ops.convert_to_tensor(self.numbers))


def _log_not_exp(x: Tensor) -> Tensor:
    """Computes log(1 - exp(-x)) of positive numbers."""
    return ops.log(-ops.expm1(-ops.maximum(x, _SMALLEST)))
