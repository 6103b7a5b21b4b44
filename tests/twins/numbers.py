"""Functions of one line that several twins use; real or complex, for complex-step derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def sigmoid(x: np.ndarray | float) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x)))


def softmax(x: np.ndarray) -> Any:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, epsilon: float = 1e-3) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * scale + shift


def complex_step(
    function: Callable[[Mapping[str, np.ndarray]], Any],
    p: Mapping[str, np.ndarray],
    name: str,
    size: float = 1e-30,
) -> np.ndarray:
    """d function / d p[name], one entry at a time, exact to rounding."""
    gradient = np.zeros(p[name].shape)
    for place in np.ndindex(gradient.shape):
        moved = p[name].astype(complex)
        moved[place] += 1j * size
        gradient[place] = function({**p, name: moved}).imag / size
    return gradient
