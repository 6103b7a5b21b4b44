"""The curves by which people judge a probability: ROC, lift, reliability, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tafe_tf.insight.slices.measured import Measured
from tafe_tf.metrics.bootstrap import resamples

POINTS = 120  # of a curve, at most
BINS = 15  # of equal weight, of a reliability curve
BUCKETS = 40  # of a histogram
LEVEL = 0.95

Curve = tuple[np.ndarray, np.ndarray]


class Reliability(NamedTuple):
    """What was predicted and what was observed, in bins of like many rows.

    Attributes:
        predicted: The mean prediction of each bin, [b].
        observed: The share of its rows in which the outcome happened, [b].
        low: The lower end of the share's 95 % bootstrap interval, [b].
        high: The upper end, [b].
        rows: How many rows are in it, [b].
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


def roc(one: Measured) -> Curve:
    """The ROC curve: the share of negatives and of positives above each threshold.

    Rows of equal scores are passed together. Of a curve with more points than `POINTS` the points
    at about even steps along both axes are kept, so that the area differs by less than 1e-4.

    Args:
        one: An output on some rows.

    Returns:
        The false-positive and the true-positive rate, from (0, 0) to (1, 1); empty if there is no
        positive or no negative.

    Example:
        >>> from tafe_tf.insight.slices.measured import Measured
        >>> import numpy as np
        >>> p = np.array([0.9, 0.6, 0.4, 0.1])
        >>> one = Measured("ctr", p, np.array([1.0, 0, 1, 0]), np.ones(4), None, p)
        >>> [values.tolist() for values in roc(one)]
        [[0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0]]
    """
    positive, negative = _passed(one)
    if not positive[-1] > 0 or not negative[-1] > 0:
        return np.zeros(0), np.zeros(0)
    x = negative / negative[-1]
    y = positive / positive[-1]
    kept = _thinned(x + y)
    return x[kept], y[kept]


def gains(one: Measured) -> Curve:
    """The cumulative gains: of the best rows, the share of rows and the share of all outcomes.

    Args:
        one: An output on some rows; of an amount the shares are of the amount.

    Returns:
        The share of rows with the highest scores, and the share of outcomes in them, from (0, 0) to
        (1, 1), one point for each different score; empty if nothing was observed.
    """
    order = np.argsort(-one.score, kind="stable")
    ends = _ends_of_ties(one.score[order])
    rows = np.concatenate([[0.0], np.cumsum(one.weight[order])[ends]])
    outcomes = np.concatenate([[0.0], np.cumsum((one.weight * one.observed)[order])[ends]])
    if not outcomes[-1] > 0:
        return np.zeros(0), np.zeros(0)
    return rows / rows[-1], outcomes / outcomes[-1]


def lifts(one: Measured, shares: Sequence[float]) -> list[float]:
    """How many times more often the outcome happens in the best rows than in all.

    Args:
        one: An output on some rows.
        shares: Of the rows, those with the highest scores.

    Returns:
        For each share, the share of all outcomes that are in those rows by the share of the rows.
        Rows that have the same score as the last of them count in part. Empty if nothing was
        observed.
    """
    x, y = gains(one)
    if not len(x):
        return []
    found = np.interp(shares, x, y) / np.asarray(shares)
    return [float(lift) for lift in found]


def reliability(
    one: Measured,
    group: np.ndarray | None = None,
    bins: int = BINS,
    replicates: int = 200,
) -> Reliability:
    """The reliability curve of an output.

    Args:
        one: The output on some rows.
        group: Hashes; rows of one group are drawn together. Default: None.
        bins: How many bins of equal weight, as `calibration_error` makes them. Default: 15.
        replicates: How many bootstrap samples give the intervals. Default: 200.

    Returns:
        The bins that hold rows, the smallest predictions first.
    """
    counts = np.flatnonzero(one.weight > 0)
    if not len(counts):
        none = np.zeros(0)
        return Reliability(none, none, none, none, none)
    bin_of_row = _bins(one.predicted[counts], one.weight[counts], bins)
    weight = one.weight[counts]
    observed = one.observed[counts]
    present = np.unique(bin_of_row)
    mass = np.bincount(bin_of_row, weight, bins)[present]
    of_predicted = np.bincount(bin_of_row, weight * one.predicted[counts], bins)[present]
    of_observed = np.bincount(bin_of_row, weight * observed, bins)[present]
    low, high = _intervals(bin_of_row, present, weight, observed, _of(group, counts), replicates)
    rows = np.bincount(bin_of_row, minlength=bins)[present]
    return Reliability(of_predicted / mass, of_observed / mass, low, high, rows)


def _of(group: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if group is None else group[rows]


def _bins(predicted: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each row, as `calibration_error` has them."""
    _, place = np.unique(predicted, return_inverse=True)
    mass = np.bincount(place, weight)
    middle = (np.cumsum(mass) - mass / 2) / weight.sum()
    of_prediction = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(of_prediction[place])


def _intervals(
    bin_of_row: np.ndarray,
    present: np.ndarray,
    weight: np.ndarray,
    observed: np.ndarray,
    group: np.ndarray | None,
    replicates: int,
) -> Curve:
    """The ends of each bin's interval, [b] each."""
    inside = [np.flatnonzero(bin_of_row == place) for place in present]
    parts = []
    for times in resamples(len(weight), group, replicates):
        shares = np.full((len(times), len(present)), np.nan)
        for i, rows in enumerate(inside):
            drawn = times[:, rows]
            mass = drawn @ weight[rows]
            happened = drawn @ (weight[rows] * observed[rows])
            np.divide(happened, mass, out=shares[:, i], where=mass > 0)
        parts.append(shares)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(np.concatenate(parts), [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def distribution(one: Measured, buckets: int = BUCKETS) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """How the predictions of rows with and without the outcome are distributed.

    Args:
        one: An output on some rows, of a step or a conditional.
        buckets: How many buckets, of equal width from the smallest thousandth of the predictions
            to the largest one; on a logarithmic axis if most predictions are below a tenth of the
            largest. Default: 40.

    Returns:
        The left edges of the buckets, [b], and under "happened" and "did not" the share of
        such rows in each bucket, [b]; predictions below the first edge are in the first bucket. A
        kind without a row is left out.
    """
    is_known = one.weight > 0
    predicted = one.predicted[is_known]
    weight = one.weight[is_known]
    happened = one.observed[is_known]
    if not len(predicted) or not predicted.max() > 0:
        return np.zeros(0), {}
    low = max(float(np.quantile(predicted, 0.001)), float(predicted.max()) * 1e-6)
    high = max(float(predicted.max()), low * 1.0001)
    is_skewed = np.median(predicted) < predicted.max() / 10
    space = np.geomspace if is_skewed else np.linspace
    edges = space(low, high, buckets + 1)
    place = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, buckets - 1)
    shares = {}
    for name, mass in (("happened", weight * happened), ("did not", weight * (1 - happened))):
        if mass.sum() > 0:
            shares[name] = np.bincount(place, mass, buckets) / mass.sum()
    return edges[:-1], shares


def _passed(one: Measured) -> Curve:
    """Positive and negative weight above each threshold, from none to all of it."""
    order = np.argsort(-one.score, kind="stable")
    ends = _ends_of_ties(one.score[order])
    weight = one.weight[order]
    observed = one.observed[order]
    positive = np.cumsum(weight * observed)[ends]
    negative = np.cumsum(weight * (1 - observed))[ends]
    return np.concatenate([[0.0], positive]), np.concatenate([[0.0], negative])


def _ends_of_ties(scores: np.ndarray) -> np.ndarray:
    """Where runs of equal scores end."""
    if not len(scores):
        return np.zeros(0, np.int64)
    is_last = np.concatenate([scores[1:] != scores[:-1], [True]])
    return np.flatnonzero(is_last)


def _thinned(along: np.ndarray) -> np.ndarray:
    """Which points of a rising curve to keep: those at even steps along it, and both ends."""
    if len(along) <= POINTS:
        return np.arange(len(along))
    wanted = np.linspace(along[0], along[-1], POINTS)
    kept = np.searchsorted(along, wanted)
    return np.unique(np.concatenate([[0], np.minimum(kept, len(along) - 1), [len(along) - 1]]))
