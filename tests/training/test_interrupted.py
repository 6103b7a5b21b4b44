"""A run that was interrupted goes on, with damaged checkpoints or with files that have changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import small_models
from marks import all_slow_but

from tafe_tf.data.formats.write import write
from tafe_tf.data.manifest import ManifestError
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

MODEL = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4, "bottom_units": [8]})
SETTINGS = TrainingConfig(
    epochs=2,
    batch_size=64,
    intercept_rows=300,
    steps_per_call=1,
    checkpoint_steps=2,
    unseen_share=0.2,  # so that many ids are drawn
)
STEPS = 5  # of an epoch of 400 rows, of which a tenth is held out


class Interrupted(Exception):
    """Ends a training as a kill does."""


class _Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == STEPS + 3:
            raise Interrupted


def train(data: pathlib.Path, run_dir: pathlib.Path, callbacks: Any = (), **settings: Any) -> Run:
    return fit(
        DataConfig.in_directory(data),
        run_dir,
        model=MODEL,
        training=dataclasses.replace(SETTINGS, **settings),
        callbacks=callbacks,
    )


def weights(run: Run) -> list[np.ndarray]:
    return [np.array(variable) for variable in run.model.variables]


def assert_equal_weights(run: Run, other: Run) -> None:
    for x, y in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """`data`, and `run`, which was interrupted in its second epoch, after the states 5 and 7."""
    root = tmp_path_factory.mktemp("begun")
    (root / "data").mkdir()
    (root / "data" / "schema.toml").write_text(small_models.SHOP)
    for name, seed in (("train-1", 0), ("train-2", 1)):
        write(root / "data" / f"{name}.csv", small_models.rows("shop", 200, seed))
    with pytest.raises(Interrupted):
        train(root / "data", root / "run", callbacks=[_Interrupt()])
    states = sorted(path.stem for path in (root / "run" / "checkpoints").glob("*.index"))
    assert states == ["ckpt-5", "ckpt-7"]
    return root


@pytest.fixture(scope="module")
def whole(begun: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run, which went on without damage."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(begun / "run", run_dir)
    return train(begun / "data", run_dir)


@pytest.fixture
def run_dir(begun: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the interrupted run's directory."""
    return shutil.copytree(begun / "run", tmp_path / "run")


@pytest.fixture
def data(begun: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The run's data, which a test may change: they are put back after it."""
    as_they_were = shutil.copytree(begun / "data", tmp_path / "as they were")
    yield begun / "data"
    shutil.rmtree(begun / "data")
    shutil.copytree(as_they_were, begun / "data")


def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    data: pathlib.Path, run_dir: pathlib.Path, whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    states = run_dir / "checkpoints"
    newest = states / "ckpt-7.data-00000-of-00001"
    newest.write_bytes(newest.read_bytes()[:-100])
    (states / "checkpoint").write_bytes(bytes(90))  # as a loss of power leaves it
    again = train(data, run_dir)
    out = capsys.readouterr().out
    assert f"{states}/ckpt-7 is damaged (" in out and f"resuming from {states}/ckpt-5" in out
    assert_equal_weights(again, whole)
    names = {path.name.partition(".")[0] for path in states.iterdir()}
    assert names == {"checkpoint", "ckpt-9", "ckpt-10"}


def test_a_run_whose_states_are_all_damaged_does_not_begin_anew(
    data: pathlib.Path, run_dir: pathlib.Path
) -> None:
    for index in (run_dir / "checkpoints").glob("*.index"):
        index.write_bytes(b"")
    before = (run_dir / "flags.txt").read_bytes()
    with pytest.raises(RunError, match=r"ckpt-7 is damaged .*ckpt-5 is damaged .* remove "):
        train(data, run_dir)
    assert (run_dir / "flags.txt").read_bytes() == before


def reverse(data: pathlib.Path) -> None:
    """Other rows in the same number of bytes."""
    header, *rows = (data / "train-1.csv").read_text().splitlines()
    (data / "train-1.csv").write_text("\n".join([header, *rows[::-1], ""]))


def append(data: pathlib.Path) -> None:
    text = (data / "train-1.csv").read_text()
    (data / "train-1.csv").write_text(text + text.splitlines()[1] + "\n")


def truncate(data: pathlib.Path) -> None:
    """So few rows that the position of the checkpoint lies behind the last one."""
    lines = (data / "train-1.csv").read_text().splitlines(keepends=True)
    (data / "train-1.csv").write_text("".join(lines[:40]))
    (data / "train-2.csv").write_text("".join(lines[:1]))


def add(data: pathlib.Path) -> None:
    write(data / "train-3.csv", small_models.rows("shop", 100, 7))


CHANGES: dict[str, tuple[Callable[[pathlib.Path], None], list[str]]] = {
    "reversed": (reverse, ["train-1.csv holds other bytes"]),
    "appended": (append, ["train-1.csv holds other bytes"]),
    "truncated": (truncate, ["train-1.csv holds other bytes", "train-2.csv holds other bytes"]),
    "added": (add, ["train-3.csv is new"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_refused(data: pathlib.Path, run_dir: pathlib.Path, change: str) -> None:
    do, changed = CHANGES[change]
    do(data)
    with pytest.raises(
        RunError, match=f"other files: {', '.join(changed)}; nothing.*by --accept_changed_input"
    ):
        train(data, run_dir)


@pytest.mark.parametrize("change", all_slow_but({"truncated"}, CHANGES))
def test_changed_files_are_accepted_where_that_is_asked_for(
    data: pathlib.Path, run_dir: pathlib.Path, change: str, whole: Run
) -> None:
    do, changed = CHANGES[change]
    do(data)
    run = train(data, run_dir, accept_changed_input=True)
    noted = json.loads((run.path / "data.json").read_text())
    assert noted["accepted_changes"] == [changed]
    assert len(run.history) == 2
    assert not all(np.array_equal(x, y) for x, y in zip(weights(run), weights(whole), strict=True))
    train(data, run_dir)  # these are the run's files now
    noted = json.loads((run.path / "data.json").read_text())
    assert noted["accepted_changes"] == [changed]


def test_a_finished_run_does_not_take_other_files(data: pathlib.Path, whole: Run) -> None:
    add(data)
    with pytest.raises(
        RunError, match=r"train-3.csv is new; nothing was done\. Give another --run"
    ):
        train(data, whole.path, accept_changed_input=True)


def test_an_interrupted_run_does_not_go_on_with_another_vocabulary(
    data: pathlib.Path, run_dir: pathlib.Path
) -> None:
    path = run_dir / "vocabulary" / "user.txt"
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *rest]))
    with pytest.raises(
        ManifestError, match=r"run: vocabulary/user.txt holds other bytes .*bring ba"
    ):
        train(data, run_dir)


@pytest.mark.slow
def test_sigterm_before_the_first_step_is_a_clean_end(
    begun: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_dir, temporary = tmp_path / "ended", tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "tafe_tf", "train", f"--data_dir={begun / 'data'}"]
    command += [f"--run_dir={run_dir}", "--model=shared_bottom", "--epochs=1", "--batch_size=64"]
    environment = {**os.environ, "TMPDIR": str(temporary), "TF_CPP_MIN_LOG_LEVEL": "3"}
    for moment in (".lock", "vocabulary", "model.json"):  # in the order in which they come
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (run_dir / moment).exists() and process.poll() is None:
            time.sleep(0.005)
        process.terminate()
        _, error = process.communicate(timeout=300)
        assert process.returncode == 143
        assert error.splitlines()[-1].startswith("SIGTERM: ") and "Traceback" not in error
        hidden = {path.name for path in run_dir.rglob(".*")}
        if moment == ".lock":  # the process may not have held it yet; it keeps nobody out
            hidden.discard(".lock")
        assert not hidden and not [*temporary.iterdir()]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert (run_dir / "model.keras").exists() and not list(temporary.iterdir())
