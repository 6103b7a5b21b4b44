"""Labels that come with a weight for each row and step, or with the age of each row.

A Keras loss has two arguments, labels and predictions, and weights of rows. Weights of steps and
ages therefore travel with the labels, as one nested argument.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tafe_tf.types import Tensor


def joined(
    y_true: Any,
    weights: Tensor | None = None,
    ages: Tensor | None = None,
) -> Any:
    """Makes one argument of labels and what comes with them.

    Args:
        y_true: Labels, [B, C], or what this function has made of them.
        weights: [B, C], or None where all steps of a row count alike. Default: None.
        ages: How old the rows are in seconds, [B], or None where that does not matter. Default:
            None.

    Returns:
        What `parted` and `ages_of` take apart: the labels themselves if nothing comes with them.
    """
    given = {"weights": weights, "ages": ages}
    added = {name: values for name, values in given.items() if values is not None}
    if not added:
        return y_true
    before = y_true if isinstance(y_true, dict) else {"labels": y_true}
    return {**before, **added}


def parted(y_true: Any) -> tuple[Tensor, Tensor | None]:
    """Gives the labels [B, C] and their weights [B, C], None where there are none."""
    if isinstance(y_true, dict):
        return y_true["labels"], y_true.get("weights")
    return y_true, None


def ages_of(y_true: Any) -> Tensor | None:
    """Gives the ages of the rows, [B], None where there are none."""
    return y_true.get("ages") if isinstance(y_true, dict) else None


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
