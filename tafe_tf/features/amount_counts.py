"""Amounts of training files, counted block by block: where a model of them starts."""

from __future__ import annotations

import math

import numpy as np

_UNIT = 2.0**20  # logarithms are summed as whole numbers of 1 / _UNIT, in any order to the bit


class AmountCounts:
    """The number of known amounts, and the sums of their logarithms and of the squares of these.

    Attributes:
        sums: The three, the latter two in units of 2^-20, int64 [3].

    Example:
        >>> counts = AmountCounts()
        >>> counts.add(np.array([1.0, np.e**2, 0.0, np.nan]))
        >>> counts.start()
        (2, 1.0, 1.0)
    """

    def __init__(self) -> None:
        self.sums = np.zeros(3, np.int64)

    def add(self, amounts: np.ndarray) -> None:
        """Counts amounts, [n]: 0 where there is none and NaN where it is not known."""
        known = amounts[amounts > 0]
        logs = np.log(known)
        of_logs = np.rint(logs * _UNIT).astype(np.int64)
        of_squares = np.rint(logs * logs * _UNIT).astype(np.int64)
        self.sums += np.array([len(known), of_logs.sum(), of_squares.sum()])

    def start(self) -> tuple[int, float, float]:
        """The number of amounts, and mean and standard deviation of their logarithms; 0 if none."""
        count, of_logs, of_squares = self.sums.tolist()
        if not count:
            return 0, 0.0, 0.0
        mean = of_logs / _UNIT / count
        variance = of_squares / _UNIT / count - mean * mean
        return count, mean, math.sqrt(max(variance, 0.0))
