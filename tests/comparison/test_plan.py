"""What a comparison asks of its runs, and when tuned settings are their own."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import pytest

from tafe_tf.comparison.plan import Plan
from tafe_tf.comparison.runs import Variant
from tafe_tf.training.errors import RunError

MMOE = Variant("mmoe", "mmoe", {})


def plan(folder: pathlib.Path, tuned: pathlib.Path | None) -> Plan:
    """A comparison of MMOE in a folder, with the settings of a search or without."""
    shared: Any = SimpleNamespace(folder=SimpleNamespace(path=folder), arguments=["--epochs=1"])
    searched: Any = SimpleNamespace(path=tuned) if tuned else None
    return Plan(
        shared=shared,
        variants=[MMOE],
        seeds=range(1),
        tuned=searched,
        replicates=1,
        against="",
        published={},
    )


@pytest.fixture
def searched(tmp_path: pathlib.Path) -> pathlib.Path:
    """A search that has found a dropout for MMOE."""
    folder = tmp_path / "searched"
    folder.mkdir()
    (folder / "mmoe.flags").write_text("--dropout=0.2\n")
    return folder


def test_tuned_settings_may_change_until_a_model_has_runs(
    tmp_path: pathlib.Path,
    searched: pathlib.Path,
) -> None:
    folder = tmp_path / "compared"
    noted = folder / "cells" / "mmoe" / "tuned.flags"
    assert plan(folder, None).arguments(MMOE) == ["--epochs=1", f"--flagfile={noted}"]
    assert noted.read_text() == ""

    plan(folder, searched).arguments(MMOE)  # no run has begun
    assert noted.read_text() == "--dropout=0.2\n"

    (noted.parent / "seed-0").mkdir()
    plan(folder, searched).arguments(MMOE)
    with pytest.raises(RunError, match=r"have other tuned settings; .* \['--dropout=0.2'\]"):
        plan(folder, None).arguments(MMOE)


def test_a_model_that_was_not_tuned_is_refused_before_anything_is_written(
    tmp_path: pathlib.Path,
    searched: pathlib.Path,
) -> None:
    assert plan(tmp_path, searched).all_tuned_settings() == {"mmoe": "--dropout=0.2"}
    (searched / "mmoe.flags").unlink()
    folder = tmp_path / "compared"
    with pytest.raises(RunError, match="tune this model first"):
        plan(folder, searched).arguments(MMOE)
    assert not folder.exists()
