"""Intercepts: where they start, and those that make predictions sum to what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tafe_tf.metrics import each_step, log_sigmoid, weights_of_amounts

_RESOLVED = 1e-6  # float32 logits do not resolve a smaller shift
_LARGEST_STEP = 1.0


def log_odds(rates: Sequence[float], products: bool = False) -> np.ndarray:
    """The intercepts with which a model of nothing else predicts the steps' rates.

    Args:
        rates: P(T_i = 1) over all rows, [N].
        products: Whether the intercepts are those of the conditional probabilities. The default is
            False.

    Returns:
        [N]; 0 where a rate is 0 or 1, for which no finite intercept will do.
    """
    p = np.array(rates, np.float64)
    if products:
        before = np.concatenate([[1.0], p[:-1]])
        p = p / np.where(before > 0, before, 1.0)
    is_inside = (p > 0) & (p < 1)
    inside = np.where(is_inside, p, 0.5)  # whose logit is 0
    return np.asarray(np.log(inside) - np.log1p(-inside))


def intercept_shifts(
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    products: bool = False,
) -> np.ndarray:
    """Constants c [N] for which sum w sigmoid(logit + c) = sum w label, by Newton's method.

    A constant is 0 where the labels are all equal, for which no finite one will do, and where it
    would be below 1e-6, which float32 logits do not resolve: applied again, nothing changes.

    Args:
        logits: [n, N].
        labels: 0 or 1, [n, N].
        weights: Of the rows, [n], or of each row's steps, [n, N], 0 where a label is unknown.
        products: Whether to add c to the logits of the conditional probabilities f_i / f_{i-1}
            instead, one step after the other. The default is False.
    """
    shifts = np.zeros(logits.shape[1])
    of_steps = each_step(weights, logits.shape)
    reached = np.ones(len(logits))  # P(T_{i-1}) for products
    log_p = log_sigmoid(logits)
    for i in range(len(shifts)):
        x = logits[:, i].astype(np.float64)
        if products and i:
            x = _conditional_logits(log_p, i)
        mass = of_steps[:, i] * reached
        positives = of_steps[:, i] * labels[:, i]
        target = positives.sum()
        if 0 < target < mass.sum():
            shifts[i] = _intercept(x, target, mass)
        if products:
            shifted = x + shifts[i]
            reached = reached / (1.0 + np.exp(-shifted))
    return np.where(np.abs(shifts) < _RESOLVED, 0.0, shifts)


def amount_scale(
    rows: Mapping[str, np.ndarray],
    weights: np.ndarray,
    shifts: np.ndarray,
    products: bool = False,
) -> float:
    """The logarithm of the factor with which expected amounts sum to the observed ones.

    Args:
        rows: What `Predictions.arrays` gives, with logits before they are shifted.
        weights: Of each row's steps, [n, N], 0 where a label is unknown.
        shifts: What `intercept_shifts` gave, [N].
        products: Whether the shifts are those of the conditional probabilities. The default is
            False.

    Returns:
        0 where there are no amounts, or the factor is nearer to 1 than a millionth.
    """
    logits = rows["logits"].astype(np.float64)
    happened = rows["depth"] == logits.shape[1]
    own = weights_of_amounts(rows["amount"], happened, weights[:, -1])
    observed = (own * np.nan_to_num(rows["amount"])).sum()
    log_p = _shifted_log_p(logits, shifts, products)
    expected = (own * np.exp(log_p) * rows["amount_given"]).sum()
    if not (observed > 0 and expected > 0):
        return 0.0
    scale = float(np.log(observed / expected))
    return scale if abs(scale) >= _RESOLVED else 0.0


def _conditional_logits(log_p: np.ndarray, i: int) -> np.ndarray:
    """The logits of f_i / f_{i-1}, [n], from the logarithms of f, [n, N]."""
    log_ratio = log_p[:, i] - log_p[:, i - 1]
    log_ratio = np.minimum(log_ratio, -1e-7)
    return np.asarray(log_ratio - np.log(-np.expm1(log_ratio)))


def _shifted_log_p(
    logits: np.ndarray,
    shifts: np.ndarray,
    products: bool,
) -> np.ndarray:
    """The logarithm of the last step's probability as it is served once logits are shifted, [n]."""
    if not products:
        lowest = (logits + shifts).min(axis=1)
        return log_sigmoid(lowest)
    log_p = log_sigmoid(logits)
    total = np.zeros(len(logits))
    for i, shift in enumerate(shifts):
        x = logits[:, i]
        if i:
            x = _conditional_logits(log_p, i)
        total = total + log_sigmoid(x + shift)
    return total


def _intercept(
    logits: np.ndarray,
    target: float,
    weights: np.ndarray,
) -> float:
    """The constant that makes predictions sum to `target`."""
    shift = 0.0
    for _ in range(20):
        shifted = logits + shift
        p = 1.0 / (1.0 + np.exp(-shifted))
        slope = (weights * p * (1.0 - p)).sum()
        missing = target - (weights * p).sum()
        step = missing / slope
        shift += float(np.clip(step, -_LARGEST_STEP, _LARGEST_STEP))
        if abs(step) < 1e-9:
            break
    return shift
