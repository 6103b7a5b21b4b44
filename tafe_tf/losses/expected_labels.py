"""Labels that are unknown, replaced by what the rest of the row and the model say of them."""

from __future__ import annotations

from keras import ops

from tafe_tf.metrics import SMALLEST
from tafe_tf.types import Tensor


def expected_labels(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes E[o_i] of each step, given what the row knows: the E-step of an EM algorithm.

    In a row that knows that step a happened and step b did not, a < i < b, the funnel's order gives

        P(o_i = 1 | o_a = 1, o_b = 0) = (f_i - f_b) / (f_a - f_b)

    with f_0 = 1 and f_{N+1} = 0. Whichever rows know a label, the losses are then least at the true
    probabilities, as long as a row does not know it because of its value. To leave unknown labels
    out would not do: a click that did not happen tells that no conversion did, so that of the
    conversions fewer are known of the clicks than of the other rows.

    Args:
        labels: 0, 1 or, for unknown, a negative number, [B, N]. Ones come first, then what is
            unknown, and zeros last.
        logits: Logits of f, [B, N]. No gradient flows through them.

    Returns:
        [B, N], the labels themselves where they are known.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[1.0, -1.0], [-1.0, 0.0]])
        >>> logits = np.log([[0.5, 0.2], [0.5, 0.2]]) - np.log([[0.5, 0.8], [0.5, 0.8]])
        >>> np.round(expected_labels(labels, logits), 3).tolist()  # .2 / .5, and (.5 - .2) / .8
        [[1.0, 0.4], [0.375, 0.0]]
    """
    n = labels.shape[-1]
    f = ops.sigmoid(ops.stop_gradient(logits))
    always = ops.ones_like(f[:, :1])  # f_0
    with_ends = ops.concatenate([always, f, 0.0 * always], axis=1)  # f_0, ..., f_{N+1}
    ones = ops.sum(ops.cast(labels > 0, "int32"), axis=1, keepdims=True)
    zeros = ops.sum(ops.cast(labels == 0, "int32"), axis=1, keepdims=True)
    reached = ops.take_along_axis(with_ends, ones, axis=1)  # f_a, [B, 1]
    missed = ops.take_along_axis(with_ends, n + 1 - zeros, axis=1)  # f_b, [B, 1]
    between = ops.maximum(reached - missed, SMALLEST)
    expected = ops.clip((f - missed) / between, 0.0, 1.0)
    return ops.where(labels < 0, expected, labels)
