"""Lazy Adam."""

from __future__ import annotations

from typing import Any

import numpy as np


def lazy_adam(
    w: np.ndarray, steps: list[Any], rate: float, beta_1: float, beta_2: float, epsilon: float
) -> np.ndarray:
    """The weights after steps whose gradients are `tf.IndexedSlices`, row by row."""
    w = w.copy()
    m = np.zeros_like(w)
    v = np.zeros_like(w)
    for t, gradient in enumerate(steps, start=1):
        ids = gradient.indices.numpy()
        values = gradient.values.numpy()
        for row in sorted(set(ids)):
            g = values[ids == row].sum(axis=0)
            m[row] = beta_1 * m[row] + (1 - beta_1) * g
            v[row] = beta_2 * v[row] + (1 - beta_2) * g**2
            alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            w[row] -= alpha * m[row] / (np.sqrt(v[row]) + epsilon)
    return w
