"""Names for the types that Keras leaves open, as keras-rs has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

# A tensor, variable or array of whichever backend Keras runs on, or a symbol for one.
Tensor: TypeAlias = Any

# What a model reads: ids [B, S], or {"ids": [B, S], "weights": [B, S]} if some field holds lists.
Inputs: TypeAlias = Tensor | Mapping[str, Tensor]

# A tensor's shape: whole numbers, and None for a size that differs from batch to batch.
Shape: TypeAlias = tuple[Any, ...]
