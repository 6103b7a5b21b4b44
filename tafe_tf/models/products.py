"""What the models share whose f_i are products of conditional probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tafe_tf.types import Tensor


def logit_of(log_p: Tensor) -> Tensor:
    """Returns the logit of exp(log_p), any shape; `log_p` is cut at -1e-6, whose logit is 14."""
    log_p = ops.minimum(log_p, -1e-6)
    not_p = -ops.expm1(log_p)  # 1 - p, without cancellation
    return log_p - ops.log(not_p)


def either_way(
    a: Tensor,
    otherwise: Tensor,
    by_action: Tensor,
) -> Tensor:
    """Computes the logit of (1 - a) u + a v, the probability of a step by an action or without.

    Args:
        a: Logits of P(the action), [B].
        otherwise: Logits of u = P(the step | no action), [B].
        by_action: Logits of v = P(the step | the action), [B].

    Returns:
        Logits, [B].

    Example:
        >>> import numpy as np
        >>> sure = np.array([50.0])
        >>> np.round(either_way(np.zeros(1), -sure, sure), 4).tolist()  # half of the rows
        [0.0]
    """
    without = ops.log_sigmoid(-a) + ops.log_sigmoid(otherwise)
    through = ops.log_sigmoid(a) + ops.log_sigmoid(by_action)
    log_p = ops.logaddexp(without, through)
    return logit_of(log_p)


def checked_via(via: Sequence[int], num_tasks: int) -> list[int]:
    """Returns the steps that actions come before, in order.

    Args:
        via: For each action, the index of its step, from 0.
        num_tasks: Length of the funnel, N.

    Raises:
        ValueError: If an index is that of no step, or of the first one.

    Example:
        >>> checked_via([2, 1, 1], num_tasks=3)
        [1, 1, 2]
    """
    if any(not 0 < i < num_tasks for i in via):
        rule = f"must hold steps from 1 to {num_tasks - 1}"
        if num_tasks == 1:
            rule = "must be empty in a funnel of one step: no action comes between two"
        raise ValueError(f"`via` {rule}. Received: via={list(via)}")
    return sorted(via)


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
    n = conditionals.shape[-1]
    log_p = ops.log_sigmoid(conditionals)
    log_f = ops.cumsum(log_p, axis=-1)  # [B, N]
    later = logit_of(log_f[:, 1:])
    columns = [conditionals[:, 0], *(later[:, i] for i in range(n - 1))]
    return ops.stack(never_rising(columns), axis=-1)


def never_rising(logits: Sequence[Tensor]) -> list[Tensor]:
    """Returns logits of f_1 to f_N, none above the one before, as rounding might put it.

    Args:
        logits: N tensors of any one shape.

    Example:
        >>> import numpy as np
        >>> [float(f) for f in never_rising([np.float32(2.0), np.float32(2.5), np.float32(1.0)])]
        [2.0, 2.0, 1.0]
    """
    found = list(logits[:1])
    for logit in logits[1:]:
        found.append(ops.minimum(logit, found[-1]))
    return found
