"""A search whose trials are no runs: what is tried, what is kept, and what is refused."""

from __future__ import annotations

import math
import os
import pathlib
import re
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tafe_tf.comparison import search
from tafe_tf.comparison.runs import ChildRun, Variant
from tafe_tf.training.errors import RunError

TRIALS: list[list[str]] = []  # the settings of each training


@pytest.fixture
def interrupted_at(monkeypatch: pytest.MonkeyPatch) -> dict[int, type[BaseException]]:
    """Replaces trainings by a score that the settings decide; those of the given numbers raise."""
    errors: dict[int, type[BaseException]] = {}
    TRIALS.clear()

    def train(_: ChildRun, arguments: list[str]) -> str:
        TRIALS.append(arguments)
        if len(TRIALS) in errors:
            raise errors[len(TRIALS)]("the run ended")
        return ""

    def score(*_: Any) -> float:
        return float(len(" ".join(TRIALS[-1])))

    monkeypatch.setattr(ChildRun, "train", train)
    monkeypatch.setattr(search, "best_value", score)
    return errors


def tuned(
    folder: pathlib.Path,
    space: dict[str, Any],
    trials: int,
    monitor: str = "auc",
    seed: int = 3,
) -> dict[str, Any]:
    """What a search of MMOE finds in a folder."""
    folder.mkdir(exist_ok=True)
    in_folder = SimpleNamespace(path=folder, send=lambda: None)
    shared: Any = SimpleNamespace(folder=in_folder, arguments=[])
    job = search.Search(
        shared=shared, spaces={"mmoe": space}, trials=trials, seed=seed, monitor=monitor
    )
    schema: Any = None
    return search.tune_model(job, Variant("mmoe", "mmoe", {}), schema)


RANGES = {"dropout": FloatDistribution(0.0, 0.3), "num_leaves": IntDistribution(7, 63)}
GRID = {
    "gate": CategoricalDistribution(["a", "b"]),
    "size": CategoricalDistribution(["1", "2"]),
}


@pytest.mark.parametrize("space", [RANGES, GRID], ids=["ranges", "grid"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_search_ends_as_one_that_was_not(
    space: dict[str, Any],
    error: type[BaseException],
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    at_once = tuned(tmp_path / "at_once", space, 4)
    params = [trial["params"] for trial in at_once["trials"]]
    assert params[0] == {} and len(params) == 5
    assert all(params.count(each) == 1 for each in params)
    assert all("--accept_changed_input" in arguments for arguments in TRIALS)  # of a test file

    TRIALS.clear()
    interrupted_at |= dict.fromkeys([1, 3, 5], error)  # the settings as given, and two trials
    for _ in range(3):
        with pytest.raises(error, match="the run ended"):
            tuned(tmp_path / "in_parts", space, 2 if len(TRIALS) < 3 else 4)
    assert tuned(tmp_path / "in_parts", space, 4) == at_once
    assert TRIALS[2] == TRIALS[3] and TRIALS[4] == TRIALS[5]  # what was interrupted comes first


def test_another_search_in_the_same_folder_is_refused(
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    first = tuned(tmp_path, RANGES, 2)
    other = RANGES | {"dropout": FloatDistribution(1e-3, 0.3, log=True)}
    said = (
        f"{re.escape(str(tmp_path))}/mmoe.journal: is of another search of mmoe; give another "
        r"--run_dir. It is of --search=dropout=0.0:0.3,num_leaves=7:63 --seed=3. "
        r"Received: --search=dropout=0.001:0.3:log,num_leaves=7:63 --seed=3$"
    )
    with pytest.raises(RunError, match=said):
        tuned(tmp_path, other, 3)
    with pytest.raises(RunError, match=r"Received: --search=gate=a\|b,size=1\|2 --seed=3$"):
        tuned(tmp_path, dict(GRID), 3)
    with pytest.raises(RunError, match=r"Received: .* --seed=4$"):
        tuned(tmp_path, RANGES, 3, seed=4)
    assert tuned(tmp_path, RANGES, 2) == first


def test_another_search_is_refused_from_the_first_trial_on(
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    interrupted_at[2] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path, RANGES, 2)
    with pytest.raises(RunError, match="is of another search of mmoe"):
        tuned(tmp_path, dict(GRID), 2)


@pytest.mark.parametrize("space", [RANGES, GRID], ids=["ranges", "grid"])
def test_a_trial_that_fails_counts_as_tried(
    space: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    bad: list[list[str]] = []  # fails whenever it is trained

    def train(_: ChildRun, arguments: list[str]) -> str:
        TRIALS.append(arguments)
        if len(TRIALS) == 3:
            bad.append(arguments)
        return "exit code 1: not finite" if arguments in bad else ""

    monkeypatch.setattr(ChildRun, "train", train)
    with pytest.raises(ValueError, match="exit code 1: not finite"):
        tuned(tmp_path, space, 4)
    found = tuned(tmp_path, space, 4)
    assert "best of 3 trials (1 more failed) and the settings as given" in capsys.readouterr().out
    assert len(TRIALS) == 5 and TRIALS.count(bad[0]) == 1
    assert len(found["trials"]) == 4  # the settings as given, and three of four
    assert all(trial["score"] is not None for trial in found["trials"])


def test_trials_of_an_earlier_version_are_refused(
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    """It asked the study for each trial, so that one that was interrupted stayed there."""
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "mmoe.journal"))
    study = optuna.create_study(
        study_name="mmoe",
        storage=optuna.storages.JournalStorage(journal),
        direction="maximize",
    )
    study.ask(RANGES)
    with pytest.raises(RunError, match="has trials of an earlier version; give another"):
        tuned(tmp_path, RANGES, 2)
    assert not TRIALS


@pytest.mark.parametrize("monitor", ["log_loss", "pcoc/ctr"])
def test_scores_are_values_of_the_metric(
    monitor: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    values = iter([math.nan, 3.0, 0.9, 2.0])
    monkeypatch.setattr(search, "best_value", lambda *_: next(values))
    found = tuned(tmp_path, RANGES, 3, monitor)
    assert [trial["score"] for trial in found["trials"]] == [None, 3.0, 0.9, 2.0]
    assert found["score"] == 0.9 and found["best"] == found["trials"][2]["params"]


def test_no_settings_are_tried_twice(
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    few = {"num_leaves": IntDistribution(2, 5), "num_heads": IntDistribution(1, 4)}
    found = tuned(tmp_path / "drawn", few, 15)
    points = [tuple(sorted(trial["params"].items())) for trial in found["trials"]]
    assert len(set(points)) == len(points) == 16  # 15 of 16, and the settings as given
    found = tuned(tmp_path / "drawn", few, 99)  # what is left of them
    points = [tuple(sorted(trial["params"].items())) for trial in found["trials"]]
    assert len(set(points)) == len(points) == 17


@pytest.mark.parametrize(
    "error",
    [
        "exit code -9: no output",
        "exit code 1: no space left; make room, and give the same command again",
    ],
)
def test_a_trial_that_was_killed_is_tried_again(
    error: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    at_once = tuned(tmp_path / "at_once", RANGES, 3)
    TRIALS.clear()

    def train(_: ChildRun, arguments: list[str]) -> str:
        TRIALS.append(arguments)
        return error if len(TRIALS) == 2 else ""

    monkeypatch.setattr(ChildRun, "train", train)
    with pytest.raises(ValueError, match=error):
        tuned(tmp_path / "in_parts", RANGES, 3)
    assert tuned(tmp_path / "in_parts", RANGES, 3) == at_once
    assert TRIALS[1] == TRIALS[2]


def test_a_search_is_not_kept_waiting_by_the_lock_of_a_killed_one(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = pathlib.Path("runs")  # a relative name, to which Optuna's lock is a broken link
    first = tuned(folder, RANGES, 1)
    os.symlink("runs/mmoe.journal", folder / "mmoe.journal.lock")
    assert tuned(folder, RANGES, 2)["trials"][:2] == first["trials"]


@pytest.mark.parametrize("space", [RANGES, GRID], ids=["ranges", "grid"])
def test_a_torn_line_of_the_journal_is_tried_again(
    space: dict[str, Any],
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    at_once = tuned(tmp_path / "at_once", space, 4)
    tuned(tmp_path / "torn", space, 3)
    journal = tmp_path / "torn" / "mmoe.journal"
    os.truncate(journal, journal.stat().st_size - 9)
    assert tuned(tmp_path / "torn", space, 4) == at_once
    assert tuned(tmp_path / "torn", space, 4) == at_once


def test_a_damaged_journal_is_named(
    tmp_path: pathlib.Path,
    interrupted_at: dict[int, type[BaseException]],
) -> None:
    tuned(tmp_path, RANGES, 3)
    journal = tmp_path / "mmoe.journal"
    first, *others = journal.read_bytes().splitlines(keepends=True)
    for damaged in (b"{\n", b"[]\n", b"{}\n", b"\xff\n"):
        journal.write_bytes(b"".join([first, damaged, *others]))
        with pytest.raises(RunError, match=rf"{journal}: is damaged; bring back a copy of it"):
            tuned(tmp_path, RANGES, 4)
