"""What is asked of a run, and runs that end badly."""

from __future__ import annotations

import json
import pathlib
import signal
import sys
from typing import Any

import pytest
import small_models

from tafe_tf.comparison.finished import predictions_of
from tafe_tf.comparison.folder import RunsFolder
from tafe_tf.comparison.runs import ChildRun, Shared, Variant, train_all
from tafe_tf.data import lock
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import Sources
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError
from tafe_tf.terminal import attended
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import METRICS, NotedFiles


def test_variants() -> None:
    variant = Variant.parse("tafe/use_tsa=false/dropout=0.2", ["tafe"], ["use_tsa", "dropout"])
    assert variant.folder == "tafe+use_tsa=false+dropout=0.2"
    assert variant.arguments == ["--model=tafe", "--use_tsa=false", "--dropout=0.2"]
    with pytest.raises(ValueError, match=r"must be some of tafe. Received: 'tafy'"):
        Variant.parse("tafy", ["tafe"], [])


def test_trees_are_trained_by_a_command_of_their_own() -> None:
    assert Variant("gbdt/num_leaves=7", "gbdt", {"num_leaves": "7"}).command == "tafe_tf.gbdt"
    assert Variant("tafe", "tafe", {}).command == "tafe_tf.train"


@pytest.mark.parametrize("wrong", ["tafe/no_flag=1", "tafe/dropout"])
def test_a_variant_sets_flags_of_training(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must be MODEL/FLAG=VALUE with a flag of training"):
        Variant.parse(wrong, ["tafe"], ["dropout"])


def test_a_failed_run_costs_no_other(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\necho broken >&2\nexit 3\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    done = ChildRun(Variant("mmoe", "mmoe", {}), 0, tmp_path / "mmoe" / "seed-0")
    done.path.mkdir(parents=True)
    (done.path / "predictions.npz").touch()
    dropout = Variant("tafe/dropout=0.1", "tafe", {"dropout": "0.1"})
    failing = ChildRun(dropout, 1, tmp_path / "tafe" / "seed-1")

    failed = train_all([failing, done, failing], {dropout.text: ["--epochs=1"]})

    assert failed == {"tafe/dropout=0.1, seed 1": "exit code 3: broken"}
    own = f"--model=tafe --dropout=0.1 --seed=1 --run_dir={failing.path} --save_predictions"
    assert failing.log.read_text().endswith(f" tafe_tf.train --epochs=1 {own}\nbroken\n")
    printed = capsys.readouterr().out
    assert printed.startswith("1/3: tafe/dropout=0.1, seed 1\n  failed, exit code 3: broken")
    assert "3/3: tafe" in printed and "mmoe" not in printed


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> Shared:
    """A comparison on a small shop, with nothing done yet."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "schema.toml").write_text(small_models.SHOP)
    for split in ("train", "test"):
        write(data / f"{split}.csv", small_models.rows("shop", 50))
    return Shared(
        folder=RunsFolder(tmp_path / "job"),
        settings="--epochs=1\n",
        sources=Sources(data_dir=str(data)),
        schema_file=str(data / "schema.toml"),
        bad_rows=BadRows(),
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_runs_on_other_files_do_not_join_a_comparison(shared: Shared, split: str) -> None:
    for _ in range(2):
        with shared.prepared(needs_test=True) as schema:
            assert schema.name == "shop"
    write(
        pathlib.Path(shared.sources.data_dir) / f"{split}.csv",
        small_models.rows("shop", 50, seed=9),
    )
    rule = rf"job: its runs were made with other files: {split}.csv holds other bytes\. Bring them"
    with pytest.raises(RunError, match=rule), shared.prepared(needs_test=True):
        pass


def test_only_a_comparison_needs_test_rows(shared: Shared) -> None:
    (pathlib.Path(shared.sources.data_dir) / "test.csv").unlink()
    with shared.prepared(needs_test=False) as schema:
        assert schema.name == "shop"
    rule = r"data: no file test\.EXT"
    with pytest.raises(DataError, match=rule), shared.prepared(needs_test=True):
        pass


def test_a_search_goes_on_whatever_becomes_of_the_test_rows(shared: Shared) -> None:
    test = pathlib.Path(shared.sources.data_dir) / "test.csv"
    rows = test.read_bytes()
    noted = shared.folder.path / "prepared" / "inputs.json"
    test.unlink()
    with shared.prepared(needs_test=False):
        assert sorted(json.loads(noted.read_text())) == ["train", "valid"]
    test.write_bytes(rows)
    with shared.prepared(needs_test=False):
        pass

    of_an_earlier_version = json.loads(noted.read_text()) | {"test": []}  # noted test files, too
    noted.write_text(json.dumps(of_an_earlier_version))
    with shared.prepared(needs_test=False):
        pass
    write(test.with_name("train.csv"), small_models.rows("shop", 50, seed=9))
    rule = r"train\.csv holds other bytes"
    with pytest.raises(RunError, match=rule), shared.prepared(needs_test=False):
        pass


def test_two_processes_do_not_compare_in_one_directory(shared: Shared) -> None:
    with (
        lock.locked(shared.folder.address),
        pytest.raises(LockError, match="or give another --run_dir"),
        shared.prepared(needs_test=True),
    ):
        pass


def test_a_run_whose_metrics_are_damaged_is_not_done(tmp_path: pathlib.Path) -> None:
    run = ChildRun(Variant("tafe", "tafe", {}), 0, tmp_path)
    for name in ("schema.toml", "predictions.npz", "metrics.json"):
        (tmp_path / name).write_text("{}")
    NotedFiles(tmp_path).begin()
    NotedFiles(tmp_path).note(*METRICS)
    assert run.is_done
    (tmp_path / "metrics.json").write_text("{")
    assert not run.is_done


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"no zip"])
def test_damaged_predictions_are_named(tmp_path: pathlib.Path, content: bytes) -> None:
    """Where no manifest tells: of an earlier version."""
    path = tmp_path / "predictions.npz"
    path.write_bytes(content)
    run = ChildRun(Variant("tafe", "tafe", {}), 0, tmp_path)
    with pytest.raises(RunError, match=rf"^{path}: is damaged \(.*; remove it, and run the same"):
        predictions_of(run)


def test_a_run_ends_with_the_process_that_waits_for_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ntrap "echo saved; exit" TERM\nwhile :; do sleep 0.05; done\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    run = ChildRun(Variant("tafe", "tafe", {}), 0, tmp_path / "seed-0")

    children = []
    start = attended.start

    def noted(*args: Any, **kwargs: Any) -> Any:
        children.append(start(*args, **kwargs))
        return children[-1]

    monkeypatch.setattr(attended, "start", noted)

    def end(number: int, frame: object) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(SystemExit):
            run.train([])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert run.log.read_text() == "saved\n"
    assert [child.returncode for child in children] == [0]
