"""Limits of memory, read of files as Linux writes them."""

from __future__ import annotations

import os
import pathlib

import pytest

from tafe_tf import memory

GIB = 2**30


@pytest.fixture
def groups(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Control groups of this process that limit nothing."""
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": GIB, "SC_PAGE_SIZE": 4096}.__getitem__)
    return tmp_path / "cgroup"


def limit(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_without_groups_it_is_the_machines(groups: pathlib.Path) -> None:
    assert memory.available() == GIB * 4096
    limit(groups / "memory.max", "max")
    assert memory.available() == GIB * 4096


@pytest.mark.parametrize("place", ["", "pod", "pod/job"])
def test_the_smallest_limit_of_a_group_or_one_above_it_counts(
    groups: pathlib.Path, place: str
) -> None:
    limit(groups.parent / "own", "0::/pod/job")
    limit(groups / "pod" / "memory.max", "max")
    limit(groups / place / "memory.max", str(3 * GIB))
    limit(groups / "other" / "memory.max", str(GIB))  # of another process
    assert memory.available() == 3 * GIB


def test_groups_of_the_first_version(groups: pathlib.Path) -> None:
    limit(groups.parent / "own", "5:cpu:/a\n4:memory,x:/pod")
    limit(groups / "memory" / "pod" / "memory.limit_in_bytes", str(2 * GIB))
    limit(groups / "memory" / "a" / "memory.limit_in_bytes", str(GIB))
    assert memory.available() == 2 * GIB
    limit(groups / "memory" / "memory.limit_in_bytes", str(2**63 - 4096))  # none
    assert memory.available() == 2 * GIB


def test_this_machine_has_some() -> None:
    found = memory.available()
    assert found is None or found > GIB // 4
