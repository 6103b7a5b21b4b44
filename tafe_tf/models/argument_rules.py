"""Rules of the numbers that models take, one rule an argument whichever model takes it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

_SIZES = frozenset(
    {
        "embedding_dim",
        "num_experts",
        "num_heads",
        "num_inducing",
        "num_layers",
        "num_levels",
        "num_selected",
        "num_shared",
        "num_specific",
        "num_subspaces",
    }
)
_NOT_NEGATIVE = frozenset(
    {
        "conditional_weight",
        "counterfactual_weight",
        "deep_units",
        "embedding_l2",
        "embedding_stddev",
        "entropy_weight",
        "global_weight",
        "min_propensity",
        "orthogonality_weight",
    }
)
_LARGEST = 3.4e38  # a larger number is infinite in float32
_WHOLE = _SIZES | {"deep_units"}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuses numbers that no model can be made with.

    Args:
        arguments: Of a model's constructor, by name.

    Raises:
        ValueError: Naming the argument, its rule and its value.

    Example:
        >>> check_arguments({"num_layers": 2, "dropout": 0.1})
        >>> check_arguments({"num_layers": 0})
        Traceback (most recent call last):
            ...
        ValueError: `num_layers` must be 1 or more. Received: num_layers=0
        >>> check_arguments({"num_layers": 1.5})
        Traceback (most recent call last):
            ...
        ValueError: `num_layers` must be a whole number. Received: num_layers=1.5
        >>> check_arguments({"embedding_l2": float("nan")})
        Traceback (most recent call last):
            ...
        ValueError: `embedding_l2` must be a finite number. Received: embedding_l2=nan
    """
    for name, value in arguments.items():
        is_whole = isinstance(value, numbers.Integral)
        is_number = isinstance(value, numbers.Real)
        if is_number and not is_whole and not abs(float(value)) <= _LARGEST:
            raise ValueError(f"`{name}` must be a finite number. Received: {name}={value}")
        if name in _WHOLE and not is_whole:
            raise ValueError(f"`{name}` must be a whole number. Received: {name}={value!r}")
        if name in _SIZES and value < 1:
            raise ValueError(f"`{name}` must be 1 or more. Received: {name}={value}")
        if name in _NOT_NEGATIVE and value < 0:
            raise ValueError(f"`{name}` must be 0 or more. Received: {name}={value}")
        if name == "dropout" and not 0 <= value < 1:
            raise ValueError(f"`dropout` must be 0 or more and below 1. Received: dropout={value}")
