"""The log-normal law of an amount in float64, row by row, and rankings by all pairs of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def sigma(s: float) -> float:
    return 0.05 + math.log1p(math.exp(s))


def losses(amounts: np.ndarray, mu: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the density of each amount; 0 where there is none."""
    found = []
    for amount, mean, raw in zip(amounts, mu, s, strict=True):
        if amount <= 0:
            found.append(0.0)
            continue
        deviation = sigma(raw)
        log_density = -((math.log(amount) - mean) ** 2) / (2 * deviation**2)
        log_density -= math.log(amount * deviation * math.sqrt(2 * math.pi))
        found.append(-log_density)
    return np.array(found)


def means(mu: np.ndarray, s: np.ndarray) -> np.ndarray:
    pairs = zip(mu, s, strict=True)
    return np.array([math.exp(mean + sigma(raw) ** 2 / 2) for mean, raw in pairs])


def gini(score: np.ndarray, amounts: np.ndarray, weight: np.ndarray) -> Any:
    """Mean difference of the amounts over all pairs, each signed by the order of the scores."""
    total = 0.0
    for i in range(len(score)):
        for j in range(len(score)):
            sign = np.sign(score[i] - score[j])
            total += weight[i] * weight[j] * sign * (amounts[i] - amounts[j])
    return total
