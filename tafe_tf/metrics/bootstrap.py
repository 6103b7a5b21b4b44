"""How far test metrics may be off by chance: the bootstrap over test rows and over seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tafe_tf.metrics import NO_GROUP

CHUNK = 1 << 21  # how many counts are held in memory at a time


def units(rows: int, group: np.ndarray | None) -> np.ndarray:
    """Numbers what is drawn together: the rows of a group, or a row alone.

    Args:
        rows: Number of rows.
        group: Hashes, [rows]; rows without one (`NO_GROUP`) are alone, and so are all if this is
            None.

    Returns:
        Of each row the number of its unit, from 0 without gaps, int64 [rows].
    """
    if group is None:
        return np.arange(rows)
    _, group_of_row = np.unique(group, return_inverse=True)
    is_single = group == NO_GROUP
    first = len(group)
    group_of_row[is_single] = first + np.arange(is_single.sum())
    _, group_of_row = np.unique(group_of_row, return_inverse=True)
    return group_of_row


def resamples(
    rows: int,
    group: np.ndarray | None,
    replicates: int,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """Draws test rows with replacement; every call with the same arguments draws the same ones.

    Args:
        rows: Number of test rows.
        group: Hashes, [rows]; rows with the same value are drawn together, because one user's rows
            are not independent. Rows without a group (`NO_GROUP`) are drawn one by one, and so are
            all rows if this is None.
        replicates: Number of samples; each has as many groups (or rows) as there are.
        seed: Seed of the draws; 0 by default.

    Yields:
        How often each row was drawn, float32 [r, rows], for r samples at a time.
    """
    group_of_row = units(rows, group)
    groups = int(group_of_row.max()) + 1
    rng = np.random.default_rng(seed)
    at_a_time = max(CHUNK // rows, 1)
    for start in range(0, replicates, at_a_time):
        samples = min(at_a_time, replicates - start)
        counts = np.empty((samples, groups), np.float32)
        for sample in range(samples):
            drawn = rng.integers(groups, size=groups)
            counts[sample] = np.bincount(drawn, minlength=groups)
        yield counts[:, group_of_row]


class RankedRows:
    """Rows sorted by their scores once, so that many weighted AUCs of them are cheap.

    Args:
        scores: [n].
        labels: 0 or 1, [n].
        weight: [n].
        which: Bool [n], the rows that count; None, the default, takes all.
    """

    def __init__(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray,
        which: np.ndarray | None = None,
    ) -> None:
        if which is None:
            which = np.ones(len(scores), np.bool_)
        rows = np.flatnonzero(which)
        order = np.argsort(scores[rows], kind="stable")
        self._rows = rows[order]
        ranked = scores[self._rows]
        is_new = ranked[1:] != ranked[:-1]
        is_first = np.concatenate([[True], is_new])[: len(ranked)]  # none, where no row counts
        self._ties = np.flatnonzero(is_first)  # where each run of equal scores starts
        label = labels[self._rows].astype(np.float32)
        row_weight = weight[self._rows].astype(np.float32)
        self._positive = row_weight * label
        self._negative = row_weight * (1 - label)

    def aucs(self, counts: np.ndarray) -> np.ndarray:
        """Computes the AUC of each sample; a positive and a negative with equal scores count half.

        Args:
            counts: How often each row was drawn, [r, n].

        Returns:
            [r]; NaN where a sample has no positive or no negative row.
        """
        drawn = counts[:, self._rows]
        positive = self._by_score(drawn * self._positive)
        negative = self._by_score(drawn * self._negative)
        below = np.cumsum(negative, axis=1) - negative / 2
        won = (positive * below).sum(axis=1)
        positives = positive.sum(axis=1)
        negatives = negative.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(won / positives / negatives)

    def _by_score(self, weights: np.ndarray) -> np.ndarray:
        """Sums of weights [r, n] over rows with equal scores, float64 [r, different scores]."""
        sums = np.add.reduceat(
            weights,
            self._ties,
            axis=1,
            dtype=np.float64,
        )
        return np.asarray(sums)


def over_seeds(aucs: np.ndarray, seed: int = 0) -> np.ndarray:
    """Averages over seeds that are drawn with replacement, anew in each replicate.

    Two calls with the same number of seeds draw the same ones, so that the difference of two models
    is paired.

    Args:
        aucs: AUCs by seed and replicate, [S, R].
        seed: Seed of the draws; 0 by default.

    Returns:
        [R].
    """
    seeds, replicates = aucs.shape
    rng = np.random.default_rng([seed, seeds])
    drawn = rng.integers(seeds, size=(seeds, replicates))
    of_drawn = np.take_along_axis(aucs, drawn, axis=0)
    return np.asarray(of_drawn.mean(axis=0))


def interval(
    values: np.ndarray,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """The percentile interval of the replicates [R] that are defined; None if none is.

    Args:
        values: A metric in each replicate, [R]; NaN where it is undefined.
        level: Share of the replicates inside the interval; 0.95 by default.
    """
    if not np.isfinite(values).any():
        return None
    tail = (1 - level) / 2
    ends = [tail, (1 + level) / 2]
    low, high = np.nanquantile(values, ends)
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """The two-sided p-value of the hypothesis that the true difference is 0.

    Twice the share of the replicates [R] on the far side of 0, and at least 2 / (R + 1).

    Args:
        differences: The difference in each replicate, [R]; NaN where it is undefined.
    """
    known = differences[np.isfinite(differences)]
    below = (known <= 0).sum()
    above = (known >= 0).sum()
    beyond = min(below, above)
    share = 2.0 * (beyond + 1) / (len(known) + 1)
    return float(min(share, 1.0))
