"""Numbers of training files, counted block by block: quantiles and moments in bounded memory.

Each distinct float32 is counted by itself, as long as there are at most 65,536 of them. Beyond
that, neighbours share a cell: the lowest bits of their float32 are dropped, one bit after the
other, until there are so few cells. How many bits that are depends on the set of the numbers alone.
So the cells, and all that is made of them, are the same to the byte for any order of the rows and
any division into files, blocks and workers.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

MOST_CELLS = 1 << 16  # distinct numbers that are counted exactly
TINY = float(np.finfo(np.float32).tiny)  # smaller magnitudes count as 0, as many devices have it
_SIGN = np.uint32(1 << 31)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """Where numbers lie, on a logarithmic scale that does not depend on their unit.

    A number x is mapped to z = (sign(x) log(1 + |x| / unit) - mean) / deviation.

    Attributes:
        unit: The median magnitude of the numbers that are not 0; 1 if there are none. Of vectors it
            is that of their lengths.
        mean: The mean of the logarithms; 0 if there are none.
        deviation: Their standard deviation; 1 if they are all the same.
    """

    unit: float
    mean: float
    deviation: float


class NumberCounts:
    """How often numbers occur, in at most 65,536 cells.

    A cell holds all float32 numbers that agree but for the `dropped` lowest bits of 23 of the
    mantissa. It is known by its largest number, which differs from each other one in it by less
    than 2^(dropped - 23) of that one's magnitude. `dropped` is 0 for up to 65,536 distinct numbers,
    and 16 at most.

    Args:
        most: The number of cells, 65,536 at least unless a test asks for fewer bits to be kept.
            Default: 65,536.

    Attributes:
        keys: The cells in the order of their numbers, uint32 [k].
        counts: The numbers in each cell, int64 [k].
        dropped: The bits that are dropped.

    Example:
        >>> counts = NumberCounts()
        >>> counts.add(np.array([5.0, 1.0, np.nan, 3.0, 3.0], np.float32))
        >>> counts.edges(4).tolist()  # the quantiles 1/4, 2/4 and 3/4, each once; 5 is the largest
        [1.0, 3.0]
    """

    def __init__(self, most: int = MOST_CELLS) -> None:
        self._most = most
        self.keys = np.zeros(0, np.uint32)
        self.counts = np.zeros(0, np.int64)
        self.dropped = 0

    def add(self, numbers: np.ndarray) -> None:
        """Counts finite numbers of any shape, float32; missing ones are NaN."""
        finite = numbers[np.isfinite(numbers)]
        keys, counts = np.unique(_keys_of(finite), return_counts=True)
        self._merge(keys, counts, 0)

    def add_counted(self, numbers: np.ndarray, counts: np.ndarray) -> None:
        """Counts finite numbers, float32 [k] in any order, each as often as `counts` [k] says."""
        self._merge(*_summed(_keys_of(numbers), counts), 0)

    def add_json(self, counted: dict[str, Any]) -> None:
        """Adds what another process counted."""
        keys = np.array(counted["keys"], np.uint32)
        counts = np.array(counted["counts"], np.int64)
        self._merge(keys, counts, counted["dropped"])

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {
            "dropped": self.dropped,
            "keys": self.keys.tolist(),
            "counts": self.counts.tolist(),
        }

    def _merge(self, keys: np.ndarray, counts: np.ndarray, dropped: int) -> None:
        """Adds the counts of cells that were made by dropping as many or fewer bits, or more."""
        coarser = max(self.dropped, dropped)
        both = [
            self.keys >> np.uint32(coarser - self.dropped),
            keys >> np.uint32(coarser - dropped),
        ]
        merged = _summed(np.concatenate(both), np.concatenate([self.counts, counts]))
        while len(merged[0]) > self._most:
            coarser += 1
            merged = _summed(merged[0] >> np.uint32(1), merged[1])
        self.keys, self.counts = merged
        self.dropped = coarser

    @property
    def numbers(self) -> np.ndarray:
        """The largest number of each cell, ascending, float32 [k]."""
        lowest = (1 << self.dropped) - 1
        keys = (self.keys << np.uint32(self.dropped)) | np.uint32(lowest)
        numbers = np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float32)
        return np.where(np.abs(numbers) < TINY, np.float32(0), numbers)

    def edges(self, buckets: int) -> np.ndarray:
        """What parts the numbers into buckets of about equal counts, float32 [buckets - 1] at most.

        The quantiles k / buckets, k = 1..buckets - 1, each a number that occurs: the least one that
        is no smaller than that share of all (`numpy.quantile` with method "inverted_cdf"). Repeated
        ones stand once, and the largest number of all is none. So, of the buckets
        (-inf, e_1], (e_1, e_2], ..., (e_n, inf), each holds numbers that were counted.

        Where bits are dropped, a quantile is the largest number of its cell, see the class.

        Args:
            buckets: The number of buckets.
        """
        total = int(self.counts.sum())
        if total == 0:
            return np.zeros(0, np.float32)
        upto = np.cumsum(self.counts)
        k = np.arange(1, buckets, dtype=np.int64)
        ranks = -(-k * total // buckets)  # k total / buckets, rounded up
        cells = np.searchsorted(upto, ranks, side="left")
        inner = cells[cells < len(upto) - 1]
        return self.numbers[np.unique(inner)]

    def spread(self) -> Spread:
        """Where the numbers lie."""
        numbers = self.numbers.astype(np.float64)
        magnitudes = np.abs(numbers)
        unit = _median(magnitudes[magnitudes > 0], self.counts[magnitudes > 0])
        logs = np.sign(numbers) * np.log1p(magnitudes / unit)
        total = int(self.counts.sum())
        if total == 0:
            return Spread(unit=unit, mean=0.0, deviation=1.0)
        # math.fsum rounds once, so that no order and no library's blocks of a sum matter.
        mean = math.fsum(logs * self.counts) / total
        variance = math.fsum((logs - mean) ** 2 * self.counts) / total
        return Spread(unit=unit, mean=mean, deviation=math.sqrt(variance) or 1.0)


def norms(vectors: np.ndarray) -> np.ndarray:
    """The length of each vector, float32 [n]; NaN where it is missing.

    Args:
        vectors: float32 [n, length].
    """
    squares = np.square(vectors.astype(np.float64))
    sums = squares.sum(axis=1)
    lengths: np.ndarray = np.sqrt(sums).astype(np.float32)
    return lengths


def _keys_of(numbers: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of finite float32 numbers, 0 and -0 being the same."""
    numbers = np.where(np.abs(numbers) < TINY, np.float32(0), numbers.astype(np.float32))
    bits = numbers.view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _summed(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, ascending, with the sum of its counts."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    is_first = np.concatenate([[True], keys[1:] != keys[:-1]])
    starts = np.flatnonzero(is_first)
    return keys[starts], np.add.reduceat(counts[order], starts)


def _median(numbers: np.ndarray, counts: np.ndarray) -> float:
    """The lower median of numbers that occur so often; 1 if there are none."""
    if not len(numbers):
        return 1.0
    order = np.argsort(numbers, kind="stable")
    upto = np.cumsum(counts[order])
    middle = np.searchsorted(upto, (upto[-1] + 1) // 2, side="left")
    return float(numbers[order][middle])
