"""The expected calibration error."""

from __future__ import annotations

import numpy as np

BINS = 20


def calibration_error(
    predicted: np.ndarray,
    observed: np.ndarray,
    weight: np.ndarray,
) -> float | None:
    """Computes the mean over bins, by their weight, of |mean predicted - mean observed|.

    The `BINS` bins hold equal weight, so that rare events do not all fall into one. Among the rows
    in order of their predictions, those of one prediction whose weight spans the share a to b of
    the total lie together in bin floor(BINS (a + b) / 2).

    Args:
        predicted: Probabilities, [n].
        observed: Labels, 0 or 1, or true probabilities, [n].
        weight: Weight of each row, [n].

    Returns:
        The error, or None if there is no weight.

    Example:
        >>> p, y = np.full(10, 0.3), np.eye(10)[0]
        >>> round(calibration_error(p, y, np.ones(10)), 3)
        0.2
    """
    total = weight.sum()
    if not total > 0:
        return None
    _, place = np.unique(predicted, return_inverse=True)
    mass = np.bincount(place, weight)  # of each prediction
    middle = (np.cumsum(mass) - mass / 2) / total
    bin_of_prediction = (middle * BINS).astype(np.int64)
    bin_of_prediction = np.minimum(bin_of_prediction, BINS - 1)
    bin_of_row = bin_of_prediction[place]
    gap = weight * (predicted - observed)  # of each row
    gaps = np.bincount(bin_of_row, gap)  # of each bin
    error = np.abs(gaps).sum() / total
    return float(error)
