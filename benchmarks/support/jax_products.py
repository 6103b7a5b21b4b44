"""How many operations the products of matrices in a function of JAX are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def flop(jaxpr: Any) -> int:
    """Counts a multiplication and an addition for each pair of numbers that a product combines.

    Args:
        jaxpr: What `jax.make_jaxpr` returns. A loop counts as one turn.

    Example:
        >>> import jax
        >>> from jax import numpy as jnp
        >>> flop(jax.make_jaxpr(jnp.matmul)(jnp.ones((2, 3)), jnp.ones((3, 5))))
        60
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            result = equation.outvars[0].aval.shape
            total += 2 * math.prod(result) * math.prod(left[axis] for axis in summed)
        total += sum(flop(inner) for inner in _inner(equation.params))
    return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The functions that an equation calls."""
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else [value]:
            if hasattr(one, "eqns"):
                yield one
