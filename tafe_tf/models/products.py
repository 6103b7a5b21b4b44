"""What the models share whose f_i are products of conditional probabilities."""

from __future__ import annotations

from keras import ops

from tafe_tf.types import Tensor


def logit_of(log_p: Tensor) -> Tensor:
    """Returns the logit of exp(log_p), any shape; `log_p` is cut at -1e-6, whose logit is 14."""
    log_p = ops.minimum(log_p, -1e-6)
    not_p = -ops.expm1(log_p)  # 1 - p, without cancellation
    return log_p - ops.log(not_p)


def product_logits(conditionals: Tensor) -> Tensor:
    """Computes the logits of f_i = P(T_i | T_{i-1}) f_{i-1}, in log space.

    Args:
        conditionals: Logits of P(T_i | T_{i-1}), [B, N].

    Returns:
        Logits of f, [B, N].

    Example:
        >>> import numpy as np
        >>> np.round(product_logits(np.zeros((1, 2))), 4).tolist()  # f = 1/2, 1/4
        [[0.0, -1.0986]]
    """
    log_p = ops.log_sigmoid(conditionals)
    log_f = ops.cumsum(log_p, axis=-1)  # [B, N]
    first = conditionals[:, :1]
    later = logit_of(log_f[:, 1:])
    return ops.concatenate([first, later], axis=-1)
