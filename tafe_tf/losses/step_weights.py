"""Labels that come with a weight for each row and step.

A Keras loss has two arguments, labels and predictions, and weights of rows. Weights of steps
therefore travel with the labels, as one nested argument.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tafe_tf.types import Tensor


def joined(labels: Tensor, weights: Tensor | None) -> Any:
    """Makes one argument of labels and their weights.

    Args:
        labels: [B, C].
        weights: [B, C], or None where all steps of a row count alike.

    Returns:
        What `parted` takes apart: the labels themselves if there are no weights.
    """
    if weights is None:
        return labels
    return {"labels": labels, "weights": weights}


def parted(y_true: Any) -> tuple[Tensor, Tensor | None]:
    """Gives the labels [B, C] and their weights [B, C], None where there are none."""
    if isinstance(y_true, dict):
        return y_true["labels"], y_true["weights"]
    return y_true, None


def of_known_rows(labels: Tensor, weights: Tensor | None) -> Tensor:
    """Computes the weights without those of rows that know no label, which are negative then.

    Args:
        labels: 0, 1 or, for unknown, a negative number, [B, N].
        weights: [B, N], or None for ones.

    Returns:
        [B, N].
    """
    is_known = ops.any(labels >= 0, axis=-1, keepdims=True)  # [B, 1]
    is_known = ops.cast(is_known, labels.dtype)
    if weights is None:
        weights = ops.ones_like(labels)
    return is_known * weights


def of_pairs(weights: Tensor) -> Tensor:
    """Computes the weights of adjacent steps' pairs, the smaller of both: [B, N] -> [B, N - 1].

    So a pair of which one end counts nothing counts nothing.

    Example:
        >>> of_pairs(ops.array([[1.0, 0.5, 0.0]])).numpy().tolist()
        [[0.5, 0.0]]
    """
    return ops.minimum(weights[:, :-1], weights[:, 1:])


def weighted_sum(values: Tensor, weights: Tensor | None) -> Tensor:
    """Sums each row's values, weighed unless `weights` is None: [B, C] -> [B]."""
    if weights is not None:
        values = weights * values
    return ops.sum(values, axis=-1)
