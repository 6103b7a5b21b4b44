"""How far two computations of an output are apart."""

from __future__ import annotations

import numpy as np

from tafe_tf.schema import is_probability

_OF_AMOUNTS = 10.0  # an amount is the exponential of a sum of logits, whose errors add up


def largest_difference(output: str, values: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference between two arrays of one shape; 0 if there are no rows, NaN if any.

    Args:
        output: The output's name. Of one that is no probability, differences are relative where it
            is above 1.
        values: One computation's.
        wanted: The other's.

    Example:
        >>> largest_difference("expected_amount", np.array([101.0]), np.array([100.0]))
        0.01
    """
    differences = np.abs(values - wanted)
    if not is_probability(output):
        differences = differences / np.maximum(np.abs(wanted), 1.0)
    return float(np.max(differences, initial=0.0))


def tolerance_of(output: str, tolerance: float) -> float:
    """The tolerance of an output, given that of a probability."""
    return tolerance if is_probability(output) else _OF_AMOUNTS * tolerance
