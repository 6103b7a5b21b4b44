"""Hashes of row numbers: the same in every process, on every machine."""

from __future__ import annotations

import numpy as np


def finalize(x: np.ndarray) -> np.ndarray:
    """Mixes the bits of numbers by SplitMix64's finalizer (Steele, Lea, Flood 2014).

    Args:
        x: uint64, of any shape.

    Returns:
        The top 53 bits of the result, of the same shape: as many as a float64 holds exactly.
    """
    x = x ^ (x >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return x >> np.uint64(11)
