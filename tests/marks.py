"""Which parameters of a test are slow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def all_slow_but(quick: Collection[str], names: Iterable[str]) -> list[Any]:
    """Makes parameters of which `make test` takes the quick ones and `make test-slow` the others.

    Args:
        quick: the quick ones.
        names: all parameters, the quick ones included.
    """
    names = list(names)
    unknown = set(quick) - set(names)
    assert not unknown, f"not among the parameters: {unknown}"
    return [name if name in quick else slow(name) for name in names]


def slow(parameter: Any) -> Any:
    """The parameter, marked as slow."""
    return pytest.param(parameter, marks=pytest.mark.slow)
