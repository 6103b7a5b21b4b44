"""Marks that several test modules set alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def all_slow_but(quick: Collection[str], names: Iterable[str]) -> list[Any]:
    """Parameters `names`, of which `make test` takes the `quick` ones and `make test-all` all."""
    assert not set(quick) - set(names), "a quick one that there is not"
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]
