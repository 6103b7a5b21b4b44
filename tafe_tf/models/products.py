"""What models share whose f_i are products of conditional probabilities."""

from __future__ import annotations

from typing import Any

from keras import ops


def log_sigmoid(x: Any) -> Any:
    """log P of a logit."""
    return -ops.softplus(-x)


def logit_of(log_p: Any) -> Any:
    """The logit of exp(log_p), any shape; log_p is cut at -1e-6, whose logit is 14."""
    log_p = ops.minimum(log_p, -1e-6)
    return log_p - ops.log(-ops.expm1(log_p))


def product_logits(conditionals: Any) -> Any:
    """Logits of f_i = P(T_i | T_{i-1}) f_{i-1} from those of P(T_i | T_{i-1}), [B, N]; computed in log space."""
    log_f = ops.cumsum(log_sigmoid(conditionals), axis=-1)
    return ops.concatenate([conditionals[:, :1], logit_of(log_f[:, 1:])], axis=-1)
