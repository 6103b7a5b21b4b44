"""The log-normal law of an amount given that the last step happened.

With the probability of that step it is the zero-inflated log-normal of Wang et al. (2019), "A Deep
Probabilistic Model for Customer Lifetime Value Prediction". A model gives two numbers a row, mu and
s, and the logarithm of the amount is normal with mean mu and standard deviation

    sigma = SMALLEST_DEVIATION + softplus(s),

which grows no faster than s and keeps away from 0, where the likelihood of equal amounts has no
end.
"""

from __future__ import annotations

import math

from keras import ops

from tafe_tf.types import Tensor

COLUMNS = 2  # mu and s
SMALLEST_DEVIATION = 0.05  # of the logarithm: 5 % of the amount
LARGEST = float.fromhex("0x1.fffffep127")  # the largest amount: float32's largest number


def deviations(s: Tensor) -> Tensor:
    """Computes sigma of s, any shape."""
    return SMALLEST_DEVIATION + ops.softplus(s)


def log_means(parameters: Tensor) -> Tensor:
    """Computes the logarithm of the expected amount, mu + sigma^2 / 2: [B, 2] -> [B].

    It is at most that of `LARGEST`.
    """
    sigma = deviations(parameters[:, 1])
    return ops.minimum(parameters[:, 0] + 0.5 * sigma * sigma, math.log(LARGEST))


def means(parameters: Tensor) -> Tensor:
    """Computes the expected amount given that the last step happened: [B, 2] -> [B].

    Example:
        >>> import numpy as np
        >>> s = np.log(np.expm1(0.95))  # sigma is 1
        >>> round(float(means(np.array([[0.0, s]]))[0]), 4)  # the square root of e
        1.6487
    """
    return of_logarithms(log_means(parameters))


def of_logarithms(logarithms: Tensor) -> Tensor:
    """Computes amounts of their logarithms, at most `LARGEST`, any shape."""
    return ops.minimum(ops.exp(logarithms), LARGEST)


def losses(amounts: Tensor, parameters: Tensor) -> Tensor:
    """Computes the negative log likelihood of amounts.

    Args:
        amounts: Amounts; 0 or less where there is none, or it is not known, [B].
        parameters: mu and s, [B, 2].

    Returns:
        The negative log likelihoods, 0 where there is no amount, [B].

    Example:
        >>> import numpy as np
        >>> s = np.log(np.expm1(0.95))  # sigma is 1
        >>> found = losses(np.array([1.0, 0.0]), np.array([[0.0, s], [9.0, s]]))
        >>> np.round(found, 4).tolist()  # log(2 pi) / 2
        [0.9189, 0.0]
    """
    is_known = amounts > 0
    # Where there is none, 1 stands in its place: a gradient of log 0 would be NaN even if unused.
    log_amounts = ops.log(ops.where(is_known, amounts, ops.ones_like(amounts)))
    sigma = deviations(parameters[:, 1])
    z = (log_amounts - parameters[:, 0]) / sigma
    of_rows = log_amounts + ops.log(sigma) + 0.5 * math.log(2.0 * math.pi) + 0.5 * z * z
    return ops.where(is_known, of_rows, ops.zeros_like(of_rows))


def start_of(mean: float, deviation: float) -> tuple[float, float]:
    """Computes mu and s of amounts whose logarithms have a mean and a standard deviation.

    Example:
        >>> mu, s = start_of(3.0, 1.0)
        >>> mu, round(math.log1p(math.exp(s)) + SMALLEST_DEVIATION, 6)
        (3.0, 1.0)
    """
    above = max(deviation - SMALLEST_DEVIATION, SMALLEST_DEVIATION)
    return mean, math.log(math.expm1(above))
