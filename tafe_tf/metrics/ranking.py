"""The area under the ROC curve, of all rows and of groups of them."""

from __future__ import annotations

import numpy as np

from tafe_tf.metrics.rows import check_shape


def auc(
    scores: np.ndarray, positive_weight: np.ndarray, negative_weight: np.ndarray
) -> float | None:
    """Computes P(a positive scores higher than a negative), ties counting half; exact, in float64.

    Args:
        scores: [n].
        positive_weight: weight of each row as a positive, 0 or more, [n]: its label times its
            weight. With soft labels p and 1 - p instead of 1 and 0 a row is compared as both, as
            two rows of the same score would be.
        negative_weight: weight of each row as a negative, 0 or more, [n].

    Returns:
        The area, or None if there is no positive or no negative weight.

    Raises:
        ValueError: if the lengths differ.

    Example:
        >>> labels = np.array([1, 0, 0])
        >>> auc(np.array([0.2, 0.1, 0.2]), labels, 1 - labels)
        0.75
    """
    check_shape("positive_weight", positive_weight, (len(scores),))
    check_shape("negative_weight", negative_weight, (len(scores),))
    one_group = np.zeros(len(scores), np.int8)
    areas, _ = _areas(one_group, scores, positive_weight, negative_weight)
    return float(areas[0]) if len(areas) else None


def grouped_auc(
    scores: np.ndarray, labels: np.ndarray, weight: np.ndarray, group: np.ndarray
) -> float | None:
    """Computes the mean of the groups' AUC, weighted by the groups' total weight.

    Groups without a positive or without a negative are left out.

    Args:
        scores: [n].
        labels: 0 or 1, [n].
        weight: weight of each row, [n].
        group: the group of each row, as values of any sortable kind, [n].

    Returns:
        The mean, or None if no group has both classes.

    Example:
        >>> scores, labels = np.array([0.1, 0.2, 0.4, 0.3]), np.array([0, 1, 0, 1])
        >>> grouped_auc(scores, labels, np.ones(4), np.array(["ann", "ann", "bob", "bob"]))
        0.5
    """
    areas, masses = _areas(group, scores, weight * labels, weight * (1 - labels))
    if not len(areas):
        return None
    return float((areas * masses).sum() / masses.sum())


def _areas(
    group: np.ndarray, scores: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes AUC and total weight of each group that has positive and negative weight.

    Args:
        group: the group of each row, [n].
        scores: [n].
        positive: weight of each row as a positive, [n].
        negative: weight of each row as a negative, [n].

    Returns:
        Areas and weights, in the order of the groups' values.
    """
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((scores, group))
    group = group[order]
    scores = scores[order]
    is_new_group = np.concatenate([[True], group[1:] != group[:-1]])
    is_new_score = np.concatenate([[True], scores[1:] != scores[:-1]])
    ties = np.flatnonzero(is_new_group | is_new_score)  # where runs of equal scores start
    p = np.add.reduceat(positive[order].astype(np.float64), ties)
    n = np.add.reduceat(negative[order].astype(np.float64), ties)
    starts = np.flatnonzero(is_new_group[ties])  # where the groups start among the runs
    runs = np.diff(starts, append=len(ties))
    ranked = np.cumsum(n) - n
    below = ranked - np.repeat(ranked[starts], runs)  # negatives of the same group that score less
    wins = np.add.reduceat(p * (below + 0.5 * n), starts)
    p = np.add.reduceat(p, starts)
    n = np.add.reduceat(n, starts)
    has_both = (p > 0) & (n > 0)
    areas = wins[has_both] / p[has_both] / n[has_both]
    return areas, (p + n)[has_both]
