"""Logits of probabilities whose logarithms are known."""

from __future__ import annotations

import numpy as np

SMALLEST = 1e-15  # p and 1 - p are taken to be no smaller, so that logits are finite


def logit_of_log(log_p: np.ndarray) -> np.ndarray:
    """log p - log(1 - p), where only log p is known, in float64.

    Example:
        >>> import numpy as np
        >>> logit_of_log(np.log(np.array([0.5, 0.2])))  # doctest: +ELLIPSIS
        array([ 0.        , -1.386...])
    """
    log_p = np.minimum(log_p, -SMALLEST)
    log_not_p = np.log(-np.expm1(log_p))
    return np.asarray(log_p - log_not_p)
