"""The noise of test metrics: bootstrap over test rows (whole groups where there are any) and over seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CHUNK = 1 << 21  # numbers in memory at a time


def resamples(
    rows: int, group: np.ndarray | None, replicates: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """How often each row is drawn, float32 [r, rows] at a time, `replicates` in all; the same for every call.

    Args:
        rows: number of test rows.
        group: [rows], or None; rows of one value are drawn together (a user's rows are not independent).
        replicates: how many samples of as many groups (or rows) as there are, with replacement.
        seed: of the draws.
    """
    place = np.arange(rows) if group is None else np.unique(group, return_inverse=True)[1]
    groups = int(place.max()) + 1
    rng = np.random.default_rng(seed)
    size = max(CHUNK // rows, 1)
    for start in range(0, replicates, size):
        count = min(size, replicates - start)
        drawn = [
            np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(count)
        ]
        yield np.stack(drawn).astype(np.float32)[:, place]


class RankedRows:
    """Rows in the order of their scores, to compute many weighted AUCs of.

    Args:
        scores: [n].
        labels: 0 or 1, [n].
        weight: [n].
        which: rows that count, bool [n]; all by default.
    """

    def __init__(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray,
        which: np.ndarray | None = None,
    ) -> None:
        rows = np.arange(len(scores)) if which is None else np.flatnonzero(which)
        self._rows = rows[np.argsort(scores[rows], kind="stable")]
        ranked = scores[self._rows]
        self._ties = np.flatnonzero(
            np.concatenate([[True], ranked[1:] != ranked[:-1]])
        )  # starts of equal scores
        y, w = labels[self._rows].astype(np.float32), weight[self._rows].astype(np.float32)
        self._positive, self._negative = w * y, w * (1 - y)

    def aucs(self, counts: np.ndarray) -> np.ndarray:
        """The AUC of each sample, [r] of counts [r, n], ties counting half; NaN without a positive or a negative."""
        drawn = counts[:, self._rows]
        p, n = (
            np.add.reduceat(drawn * weight, self._ties, axis=1, dtype=np.float64)
            for weight in (self._positive, self._negative)
        )
        below = np.cumsum(n, axis=1) - n / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((p * below).sum(axis=1) / p.sum(axis=1) / n.sum(axis=1))


def over_seeds(aucs: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means over seeds drawn with replacement, anew in each replicate: [S, R] -> [R].

    Two calls with as many seeds draw the same ones: differences of two models are paired.
    """
    seeds, replicates = aucs.shape
    drawn = np.random.default_rng([seed, seeds]).integers(seeds, size=(seeds, replicates))
    return np.asarray(np.take_along_axis(aucs, drawn, axis=0).mean(axis=0))


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """The percentile interval of replicates [R], those that are undefined aside; None if all are."""
    if not np.isfinite(values).any():
        return None
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """Two-sided, that the true difference is 0: twice the share of replicates [R] beyond 0, at least 2 / (R + 1)."""
    kept = differences[np.isfinite(differences)]
    beyond = min((kept <= 0).sum(), (kept >= 0).sum())
    return float(min(2.0 * (beyond + 1) / (len(kept) + 1), 1.0))
