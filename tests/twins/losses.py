"""The losses in probabilities, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from twins.numbers import sigmoid


def cross_entropy(o: np.ndarray, p: np.ndarray) -> Any:
    """Of labels and probabilities, any shape."""
    return -(o * np.log(p) + (1 - o) * np.log(1 - p))


def dependence(o: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """L_D (eq. 25 and 29), [B, N] -> [B, N - 1]."""
    f = sigmoid(logits)
    out = np.zeros((len(o), o.shape[1] - 1), f.dtype)
    for j in range(len(o)):
        for i in range(1, o.shape[1]):
            out[j, i - 1] = ((f[j, i - 1] - f[j, i]) - (o[j, i - 1] - o[j, i])) ** 2
    return out


def funnel(o: np.ndarray, logits: np.ndarray, w: Any, dependence_weight: float = 1.0) -> Any:
    """L of eq. 25 of each row, [B]."""
    of_tasks = (cross_entropy(o, sigmoid(logits)) * np.asarray(w)).sum(axis=1)
    return of_tasks + dependence_weight * dependence(o, logits).sum(axis=1)
