"""Labels that are neither 0 nor 1 never enter a loss."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tafe_tf.types import Tensor

_RULE = "a label must be 0 or 1"
_RULE_OF_UNKNOWN = "a label must be 0, 1 or, where it is unknown, -1"


def checked_labels(
    labels: Tensor,
    first: int = 0,
    *,
    may_be_unknown: bool = False,
) -> Tensor:
    """Gives labels back, and raises an error if one is neither 0 nor 1.

    Tensors with values are looked at here, and those of a TensorFlow graph by an assertion in it.
    Where neither is possible, as in a function that JAX or XLA compiles, a wrong label becomes NaN,
    and so does the loss.

    Args:
        labels: Labels, floats [B, N].
        first: The number of the first column among those of `y_true`, for the message. Default: 0.
        may_be_unknown: Whether -1, an unknown label, is right, too. Default: false.

    Returns:
        The labels, [B, N].

    Raises:
        ValueError: If a label is neither 0 nor 1; the message names its column and row.

    Example:
        >>> checked_labels(ops.array([[1.0, 0.0]])).shape[-1]
        2
        >>> checked_labels(ops.array([[1.0, -1.0]]))
        Traceback (most recent call last):
            ...
        ValueError: y_true[0, 1], task 2 in row 1: a label must be 0 or 1. Received: -1.0
    """
    rule = _RULE
    is_label = ops.logical_or(ops.equal(labels, 0.0), ops.equal(labels, 1.0))
    if may_be_unknown:
        rule = _RULE_OF_UNKNOWN
        is_label = ops.logical_or(is_label, ops.equal(labels, -1.0))
    if _has_values(labels):
        _raise_for_the_first(labels, is_label, first, rule)
        return labels
    if keras.config.backend() == "tensorflow" and not isinstance(labels, keras.KerasTensor):
        labels = _asserted_in_graph(labels, is_label, first, rule)
    nothing = ops.full_like(labels, float("nan"))
    return ops.where(is_label, labels, nothing)


def _has_values(tensor: Tensor) -> bool:
    """Whether a tensor holds values now, and not only later when a graph runs."""
    if isinstance(tensor, keras.KerasTensor):
        return False
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.executing_eagerly())
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return True


def _raise_for_the_first(
    labels: Tensor,
    is_label: Tensor,
    first: int,
    rule: str,
) -> None:
    """Raises ValueError for the first wrong label of tensors with values."""
    is_wrong = ~ops.convert_to_numpy(is_label)
    if not is_wrong.any():
        return
    row, column = np.argwhere(is_wrong)[0]
    value = float(ops.convert_to_numpy(labels)[row, column])
    column += first
    place = f"y_true[{row}, {column}], task {column + 1} in row {row + 1}"
    raise ValueError(f"{place}: {rule}. Received: {value}")


def _asserted_in_graph(
    labels: Tensor,
    is_label: Tensor,
    first: int,
    rule: str,
) -> Tensor:
    """Gives the labels once an assertion holds, so that no step is made of wrong ones.

    XLA leaves assertions out.
    """
    import tensorflow as tf

    is_wrong = tf.logical_not(is_label)
    places = tf.where(is_wrong)  # [wrong labels, 2]
    columns = places[:1, 1] + first
    values = tf.boolean_mask(labels, is_wrong)[:1]
    assertion = tf.debugging.Assert(
        tf.reduce_all(is_label),
        [rule, "task:", columns + 1, "column of y_true:", columns, "Received:", values],
    )
    with tf.control_dependencies([assertion]):
        return tf.identity(labels)
