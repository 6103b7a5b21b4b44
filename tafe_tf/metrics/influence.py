"""How much each row moves a metric, from which follows how far the metric may be off by chance.

The influence of a row is its weight times the derivative of the metric in this weight. Over all
rows influences sum to 0, and the sum of their squares over independent rows is the variance of the
metric: for the AUC that is DeLong's (1988). Those of a difference of metrics are the differences,
so that the interval of a difference is that of paired rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from tafe_tf.metrics.bootstrap import units
from tafe_tf.metrics.ranking import auc


class Estimate(NamedTuple):
    """A metric of some rows.

    Attributes:
        value: The metric.
        influence: What each row contributes to its error, float64 [n].
    """

    value: float
    influence: np.ndarray


def auc_estimate(
    scores: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> Estimate | None:
    """Gives the AUC of rows with its influences.

    Args:
        scores: [n].
        positive: Weight of each row as a positive, 0 or more, [n].
        negative: Weight of each row as a negative, 0 or more, [n].

    Returns:
        The estimate, or None if there is no positive or no negative weight.

    Example:
        >>> labels = np.array([1.0, 0.0, 0.0])
        >>> estimate = auc_estimate(np.array([0.2, 0.1, 0.2]), labels, 1 - labels)
        >>> estimate.value, estimate.influence.tolist()
        (0.75, [0.0, 0.125, -0.125])
    """
    value = auc(scores, positive, negative)
    if value is None:
        return None
    _, place = np.unique(scores, return_inverse=True)
    of_positives = np.bincount(place, weights=positive)  # by different score
    of_negatives = np.bincount(place, weights=negative)
    below = np.cumsum(of_negatives) - of_negatives / 2
    above = of_positives.sum() - np.cumsum(of_positives) + of_positives / 2
    beaten = below[place] / of_negatives.sum()  # the share of the negatives that score less
    lost = above[place] / of_positives.sum()
    as_positive = positive * (beaten - value) / of_positives.sum()
    as_negative = negative * (lost - value) / of_negatives.sum()
    return Estimate(value, as_positive + as_negative)


def mean_estimate(values: np.ndarray, weight: np.ndarray) -> Estimate | None:
    """Gives the weighted mean of values with its influences.

    Args:
        values: [n].
        weight: Weight of each row, 0 or more, [n].

    Returns:
        The estimate, or None if there is no weight.

    Example:
        >>> mean_estimate(np.array([1.0, 3.0]), np.ones(2)).influence.tolist()
        [-0.5, 0.5]
    """
    total = weight.sum()
    if not total > 0:
        return None
    value = float(weight @ values / total)
    return Estimate(value, weight * (values - value) / total)


def average(estimates: Sequence[Estimate]) -> Estimate:
    """Averages one or more estimates from the same rows."""
    values = [one.value for one in estimates]
    influences = [one.influence for one in estimates]
    return Estimate(float(np.mean(values)), np.mean(influences, axis=0))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """Gives `one` minus `other`, both from the same rows."""
    return Estimate(one.value - other.value, one.influence - other.influence)


def normal_interval(
    estimate: Estimate,
    group: np.ndarray | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Gives the interval of a metric whose error is normally distributed.

    Args:
        estimate: The metric.
        group: Hashes, [n]; rows with the same value are not independent, see `bootstrap.units`.
            Default: None, all rows are.
        level: How often such intervals hold the true value. Default: 0.95.

    Example: of 100 rows of mean 0.5 and variance 0.25.
        >>> estimate = mean_estimate(np.arange(100) % 2, np.ones(100))
        >>> [round(end, 3) for end in normal_interval(estimate)]
        [0.402, 0.598]
    """
    sums = np.bincount(units(len(estimate.influence), group), weights=estimate.influence)
    count = len(sums)
    variance = (sums @ sums) * count / max(count - 1, 1)
    reach = float(ndtri((1 + level) / 2) * np.sqrt(variance))
    return estimate.value - reach, estimate.value + reach
