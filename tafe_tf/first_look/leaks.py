"""Fields that alone rank a label so well that they cannot have been known before it."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.hashing import finalize
from tafe_tf.first_look.values import BINS, Values

SUSPECT = 0.95  # an AUC above it, by one field alone
_LEAST = 20  # positives, and rows of a bin, below which chance explains anything
_MANY = 0.1  # share of the positives that are no chance
_NEARLY_ALL = 0.95  # share of positives from which a value may stand at them alone
_PRIOR = 5.0  # rows of the mean rate that are added to each value's own rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leak:
    """A field that a model should not be given.

    Attributes:
        column: The column.
        label: The label that it tells.
        auc: The AUC by the field alone, out of fold; None if there are too few rows to tell.
        reason: What gives it away, as the end of a sentence about the column.
    """

    column: str
    label: str
    auc: float | None
    reason: str


def find_leak(
    values: Values,
    label: str,
    labels: np.ndarray,
    is_known: np.ndarray,
) -> Leak | None:
    """Judges one column by one label.

    Args:
        values: The column, with one value a row or lists.
        label: The label's name.
        labels: 0 or 1, [n].
        is_known: False for rows whose label is not known, [n].
    """
    bins, present = values.bins, ~values.missing
    if not is_known.any():
        return None
    if not is_known.all():
        bins, present, labels = bins[is_known], present[is_known], labels[is_known]
    only_after = _present_only_where_one(present, labels)
    area = alone(bins, labels)
    if only_after:
        reason = f"has a value only where {label!r} is 1"
        return Leak(column=values.name, label=label, auc=area, reason=reason)
    if area is not None and area > SUSPECT:
        reason = f"alone ranks {label!r} with an AUC of {area:.3f}"
        return Leak(column=values.name, label=label, auc=area, reason=reason)
    if _tells(bins, labels):
        reason = f"has values that stand only where {label!r} is 1"
        return Leak(column=values.name, label=label, auc=area, reason=reason)
    return None


def alone(bins: np.ndarray, labels: np.ndarray) -> float | None:
    """The AUC of a label by one field: each value counts as its rate of positives.

    Half of the rows tell the rates by which the other half is ranked, and the reverse. So an id
    that occurs once tells nothing, however many ids there are.

    Args:
        bins: The value of each row, as integers from 0, [n].
        labels: 0 or 1, [n].

    Returns:
        The mean of both halves' areas, or None if there are fewer than 20 positives or negatives.

    Example:
        >>> import numpy as np
        >>> labels = np.arange(1000) % 2
        >>> alone(labels, labels), alone(np.arange(1000), labels)
        (1.0, 0.5)
    """
    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < _LEAST:
        return None
    places = np.arange(1, len(labels) + 1, dtype=np.uint64)
    fold = (finalize(places) & np.uint64(1)).astype(bool)
    count = int(bins.max()) + 1
    areas = []
    for learned in (fold, ~fold):
        rates = _rates(bins[learned], labels[learned], count)
        area = _area(rates, bins[~learned], labels[~learned])
        if area is not None:
            areas.append(area)
    return float(np.mean(areas)) if areas else None


def _area(
    rates: np.ndarray,
    bins: np.ndarray,
    labels: np.ndarray,
) -> float | None:
    """The AUC of rows that are ranked by the rate of their bin, ties counting half."""
    _, rank = np.unique(rates, return_inverse=True)
    ranks = rank[bins]
    rows = np.bincount(ranks)
    positives = np.bincount(ranks, weights=labels)
    negatives = rows - positives
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return None
    return float((positives * (below + negatives / 2)).sum() / pairs)


def _rates(
    bins: np.ndarray,
    labels: np.ndarray,
    count: int,
) -> np.ndarray:
    """The rate of positives of each bin, drawn to the mean rate where there are few rows."""
    rows = np.bincount(bins, minlength=count)
    positives = np.bincount(bins, weights=labels, minlength=count)
    mean = labels.mean() if len(labels) else 0.0
    return (positives + _PRIOR * mean) / (rows + _PRIOR)


def _present_only_where_one(present: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a value is there only after the label happened, which most rows did not see."""
    count = int(present.sum())
    if count < _LEAST or labels.mean() > 0.5:
        return False
    return bool(labels[present].mean() > 0.995)


def _tells(bins: np.ndarray, labels: np.ndarray) -> bool:
    """Whether some value of a field with few values stands only where the label is 1."""
    if bins.max(initial=0) > BINS:
        return False
    rows = np.bincount(bins)
    positives = np.bincount(bins, weights=labels)
    if labels.mean() <= 0.3:
        return bool(((rows >= _LEAST) & (positives > 0.995 * rows)).any())
    # A value of a field with many may well be so where most rows are positive. One of two values
    # is not, if many positives have it: it is a later step, or known only with the label.
    is_of_two = np.count_nonzero(rows) == 2
    least = max(_LEAST, _MANY * labels.sum())
    tells = (rows >= least) & (positives == rows)
    return bool(is_of_two and labels.mean() < _NEARLY_ALL and tells.any())
