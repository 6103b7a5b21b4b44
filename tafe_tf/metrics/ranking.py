"""The area under the ROC curve, of all rows and of groups of them."""

from __future__ import annotations

import numpy as np

from tafe_tf.metrics.rows import check_shape


def auc(
    scores: np.ndarray,
    positive_weight: np.ndarray,
    negative_weight: np.ndarray,
) -> float | None:
    """Computes P(a positive scores higher than a negative), ties counting half; exact, in float64.

    Args:
        scores: [n].
        positive_weight: Weight of each row as a positive, 0 or more, [n]: its label times its
            weight. With soft labels p and 1 - p instead of 1 and 0 a row is compared as both, as
            two rows of the same score would be.
        negative_weight: Weight of each row as a negative, 0 or more, [n].

    Returns:
        The area, or None if there is no positive or no negative weight.

    Raises:
        ValueError: If the lengths differ.

    Example:
        >>> labels = np.array([1, 0, 0])
        >>> auc(np.array([0.2, 0.1, 0.2]), labels, 1 - labels)
        0.75
    """
    n = len(scores)
    check_shape("positive_weight", positive_weight, (n,))
    check_shape("negative_weight", negative_weight, (n,))
    one_group = np.zeros(n, np.int8)
    areas, _ = _areas(one_group, scores, positive_weight, negative_weight)
    if not len(areas):
        return None
    return float(areas[0])


def grouped_auc(
    scores: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray,
    group: np.ndarray,
) -> float | None:
    """Computes the mean of the groups' AUC, weighted by the groups' total weight.

    Groups without a positive or without a negative are left out.

    Args:
        scores: [n].
        labels: 0 or 1, [n].
        weight: Weight of each row, [n].
        group: The group of each row, as values of any sortable kind, [n].

    Returns:
        The mean, or None if no group has both classes.

    Example:
        >>> scores, labels = np.array([0.1, 0.2, 0.4, 0.3]), np.array([0, 1, 0, 1])
        >>> grouped_auc(scores, labels, np.ones(4), np.array(["ann", "ann", "bob", "bob"]))
        0.5
    """
    positive = weight * labels
    negative = weight * (1 - labels)
    areas, masses = _areas(group, scores, positive, negative)
    if not len(areas):
        return None
    total = (areas * masses).sum()
    return float(total / masses.sum())


def _areas(
    group: np.ndarray,
    scores: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes AUC and total weight of each group that has positive and negative weight.

    Args:
        group: The group of each row, [n].
        scores: [n].
        positive: Weight of each row as a positive, [n].
        negative: Weight of each row as a negative, [n].

    Returns:
        Areas and weights, in the order of the groups' values.
    """
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((scores, group))
    group = group[order]
    scores = scores[order]
    is_new_group = _differs_from_previous(group)
    is_new_score = _differs_from_previous(scores)
    ties = np.flatnonzero(is_new_group | is_new_score)  # where runs of equal scores start
    p = _sums(positive[order], ties)  # positive weight of each run
    n = _sums(negative[order], ties)
    starts = np.flatnonzero(is_new_group[ties])  # where the groups start among the runs
    runs = np.diff(starts, append=len(ties))
    ranked = np.cumsum(n) - n  # negative weight before each run
    below = ranked - np.repeat(ranked[starts], runs)  # negatives of the same group that score less
    won = p * (below + 0.5 * n)
    wins = _sums(won, starts)  # of each group
    p = _sums(p, starts)
    n = _sums(n, starts)
    has_both = (p > 0) & (n > 0)
    p = p[has_both]
    n = n[has_both]
    areas = wins[has_both] / p / n
    return areas, p + n


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums consecutive groups of values, which begin at `starts`, in float64."""
    wide = values.astype(np.float64)
    return np.add.reduceat(wide, starts)


def _differs_from_previous(values: np.ndarray) -> np.ndarray:
    """Returns whether each value differs from the one before it; the first one does, [n]."""
    differs = values[1:] != values[:-1]
    return np.concatenate([[True], differs])
