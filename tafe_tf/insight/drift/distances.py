"""How far two distributions are apart, and how far samples of n rows are by chance.

Distributions are counts over the same cells, [k]; the distances are those of TensorFlow Data
Validation.
"""

from __future__ import annotations

import math

import numpy as np


def l_infinity(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference between the shares of a cell, from 0 to 1.

    Args:
        first: Counts, [k], not all 0.
        second: Counts of the same cells, [k], not all 0.

    Example:
        >>> import numpy as np
        >>> round(l_infinity(np.array([50, 50]), np.array([3, 1])), 3)
        0.25
    """
    return float(np.abs(_shares(first) - _shares(second)).max())


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """The Jensen-Shannon divergence in bits, from 0 to 1; arguments as of `l_infinity`.

    The mean of the Kullback-Leibler divergences of both from their mean.

    Example:
        >>> import numpy as np
        >>> jensen_shannon(np.array([1, 0]), np.array([0, 1]))
        1.0
    """
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return min(max(divergence, 0.0), 1.0)  # which rounding may pass


def population_stability(first: np.ndarray, second: np.ndarray) -> float:
    """The population stability index, sum of (p - q) ln(p / q), 0 or more.

    Half a count is added to each cell, so that an empty one gives no infinity. Arguments as of
    `l_infinity`.
    """
    p, q = _shares(first + 0.5), _shares(second + 0.5)
    return float(((p - q) * np.log(p / q)).sum())


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts, np.float64) / counts.sum()


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    has_any = p > 0
    return float((p[has_any] * np.log2(p[has_any] / q[has_any])).sum())


def share_noise(variance: float, cells: int, rows: float, chance: float) -> float:
    """How far the share of any cell may be off in a sample; Bernstein's inequality.

    Args:
        variance: The largest p (1 - p) of the cells.
        cells: How many cells there are.
        rows: Of the sample, independent ones; may be a fraction.
        chance: How likely a larger difference is at most.
    """
    log = math.log(2.0 * cells / chance)
    linear = log / (3.0 * rows)
    return min(linear + math.sqrt(linear * linear + 2.0 * log * variance / rows), 1.0)


def entropy_noise(cells: int, rows: float, chance: float) -> float:
    """How large the Jensen-Shannon divergence of a sample from its source may be, in bits.

    8 n ln 2 times it is about chi-squared distributed with k - 1 degrees of freedom. The quantile
    is Laurent's and Massart's bound of it.

    Args:
        cells: How many cells there are, k.
        rows: Of the sample, n.
        chance: How likely a larger divergence is.
    """
    return min(_chi_squared(cells - 1, chance) / (8.0 * rows * math.log(2.0)), 1.0)


def stability_noise(cells: int, rows: float, chance: float) -> float:
    """How large the population stability index of a sample from its source may be.

    n times it is about chi-squared distributed. Arguments as of `entropy_noise`.
    """
    return _chi_squared(cells - 1, chance) / rows


def _chi_squared(freedom: int, chance: float) -> float:
    log = math.log(1.0 / chance)
    return freedom + 2.0 * math.sqrt(freedom * log) + 2.0 * log


def of_roots(*parts: float) -> float:
    """The square of the sum of roots: how divergences add up, whose roots are distances."""
    return sum(math.sqrt(part) for part in parts) ** 2
