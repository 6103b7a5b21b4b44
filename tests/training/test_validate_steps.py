"""Validation within an epoch: where it stands, what it keeps, when it stops, and how it resumes."""

from __future__ import annotations

import json
import os
import pathlib
import signal
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf

from tafe_tf.data.formats.write import write
from tafe_tf.report import report
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.preemption import Preempted
from tafe_tf.training.run import Run
from tafe_tf.training.state import State

MODEL = ModelConfig(
    name="shared_bottom",
    arguments={"embedding_dim": 4, "bottom_units": [8], "tower_units": [4], "dropout": 0.1},
)
MONITOR = "log_loss/p_view"
BATCH, STEPS, EVERY = 50, 11, 4  # rows of a step, steps of an epoch, and steps to a validation
SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "patience": 99,
    "monitor": MONITOR,
    "batch_size": BATCH,
    "learning_rate": 0.02,
    "learning_rate_decay": "none",
    "unseen_share": 0.1,
    "steps_per_call": 3,
    "checkpoint_steps": 5,
    "intercept_rows": 0,
    "validate_steps": EVERY,
}
EAGER: dict[str, Any] = {"epochs": 40, "patience": 4, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """599 training rows of a funnel of three steps, and 200 each to validate and to test."""
    directory = tmp_path_factory.mktemp("loans")
    (directory / "schema.toml").write_text(small_models.SCHEMAS["loans"])
    for seed, (name, count) in enumerate({"train": 599, "valid": 200, "test": 200}.items()):
        write(directory / f"{name}.parquet", small_models.rows("loans", count, seed))
    return DataConfig.in_directory(directory)


class Killed(Exception):
    """Ends a training as a kill does."""


def kill() -> None:
    raise Killed


class Watch(keras.callbacks.Callback):
    """Notes the weights of each epoch's end, and raises or does something before some call."""

    def __init__(self, before_step: int = -1, do: Any = None) -> None:
        super().__init__()
        self.before_step, self.do = before_step, do
        self.events: list[str] = []
        self.ends: list[list[np.ndarray]] = []

    def _step(self) -> int:
        return int(self.model.optimizer.iterations)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.do is not None and self._step() >= self.before_step:
            do, self.do = self.do, None
            do()

    def on_test_end(self, logs: Any = None) -> None:
        self.events.append(f"within {self._step()}: {logs[f'val_{MONITOR}']:.6f}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"epoch {epoch} {self._step()}: {logs[f'val_{MONITOR}']:.6f}")
        self.ends.append([np.array(variable) for variable in self.model.variables])


def trained(
    data: DataConfig,
    run_dir: pathlib.Path,
    watch: Watch | None = None,
    **settings: Any,
) -> Run:
    return fit(
        data,
        run_dir,
        model=MODEL,
        training=TrainingConfig(**{**SETTINGS, **settings}),
        callbacks=[watch or Watch()],
    )


def assert_equal(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def weights(run: Run) -> list[np.ndarray]:
    return [np.array(variable) for variable in run.model.variables]


def history(run: Run) -> list[dict[str, Any]]:
    return [dict(entry) for entry in run.history]


def untimed(run: Run) -> list[dict[str, Any]]:
    """The history without what a process alone knows: its seconds, and what it has trained."""
    own = ("train_seconds", "train_rows", "train_loss", "seconds")
    found = history(run)
    return [{key: value for key, value in entry.items() if key not in own} for entry in found]


def losses(run: Run) -> list[float]:
    return [entry[MONITOR] for entry in history(run)]


@pytest.fixture(scope="module")
def whole(loans: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(loans, tmp_path_factory.mktemp("whole") / "run")


def test_it_changes_no_step_and_keeps_the_best_weights(
    loans: DataConfig, tmp_path: pathlib.Path, whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, often = Watch(), Watch()
    without = trained(loans, tmp_path / "plain", plain, validate_steps=0)
    run = trained(loans, tmp_path / "often", often, steps_per_call=20, checkpoint_steps=2)
    for a, b in zip(plain.ends, often.ends, strict=True):
        assert_equal(a, b)
    assert ["step" in entry for entry in history(without)] == [False] * 3
    # Whatever the length of a call, validation comes after every 4 steps of an epoch of 11.
    places = [(entry["epoch"], entry["step"]) for entry in history(run)]
    expected = [(1, 4), (1, 8), (1, 11), (2, 15), (2, 19), (2, 22), (3, 26), (3, 30), (3, 33)]
    assert places == expected
    assert [entry["train_rows"] for entry in history(run)[:3]] == [200, 200, 150]
    assert untimed(run) == untimed(whole)
    assert_equal(weights(run), weights(whole))
    assert losses(without) == [losses(run)[i] for i in (2, 5, 8)]
    found = run.evaluate(loans.valid[0])[MONITOR]
    assert found == pytest.approx(min(losses(run)), abs=1e-6)
    words = [event.split(":")[0] for event in often.events]
    assert words[:4] == ["within 4", "within 8", "epoch 0 11", "within 15"]
    assert "epoch 2, step 8: " in capsys.readouterr().out
    report(run.path)
    assert "step" in capsys.readouterr().out


def test_curves_name_the_step(whole: Run) -> None:
    points: dict[int, float] = {}
    for path in sorted((whole.path / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == f"valid/{MONITOR}":
                    points[event.step] = float(tf.make_ndarray(value.tensor))
    steps = [entry["step"] for entry in history(whole)]
    assert sorted(points) == steps
    assert [points[step] for step in steps] == pytest.approx(losses(whole))


def test_early_stopping_counts_validations_and_stops_within_an_epoch(
    loans: DataConfig, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = Watch()
    run = trained(loans, tmp_path / "run", watch, **EAGER)
    reached = losses(run)
    best = int(np.argmin(reached))
    assert len(reached) == best + 1 + 4
    last = history(run)[-1]
    assert last["epoch"] < 40 and last["step"] % STEPS % EVERY == 0 < last["step"] % STEPS
    assert watch.events[-1].startswith(f"epoch {last['epoch'] - 1} {last['step']}")
    found = run.evaluate(loans.valid[0])[MONITOR]
    assert found == pytest.approx(reached[best], abs=1e-6)
    before = weights(run)
    capsys.readouterr()
    again = trained(loans, tmp_path / "run", **EAGER)
    assert f"{last['epoch'] - 1} epochs and {last['step'] % STEPS} steps" in capsys.readouterr().out
    assert again.history == run.history
    assert_equal(weights(again), before)


@pytest.mark.slow
def test_a_kill_on_the_way_to_an_early_stop_changes_nothing(
    loans: DataConfig, tmp_path: pathlib.Path
) -> None:
    run = trained(loans, tmp_path / "run", **EAGER)
    step = history(run)[-1]["step"]
    with pytest.raises(Killed):
        trained(loans, tmp_path / "killed", Watch(step - 2, kill), **EAGER)
    resumed = trained(loans, tmp_path / "killed", **EAGER)
    assert untimed(resumed) == untimed(run)
    assert_equal(weights(resumed), weights(run))


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 5, 8, 11, 12, 19])
def test_a_kill_at_any_moment_changes_nothing(
    loans: DataConfig, tmp_path: pathlib.Path, whole: Run, step: int
) -> None:
    with pytest.raises(Killed):
        trained(loans, tmp_path, Watch(step, kill), checkpoint_steps=1 + step % 3)
    run = trained(loans, tmp_path)
    assert untimed(run) == untimed(whole)
    assert_equal(weights(run), weights(whole))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 15])
def test_sigterm_before_a_validation_saves_at_once(
    loans: DataConfig, tmp_path: pathlib.Path, whole: Run, step: int
) -> None:
    """The call that is asked to end makes the last step before a validation, which comes later."""

    def ask() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    watch = Watch(step, ask)
    with pytest.raises(Preempted, match=r"saved at epoch \d, batch \d"):
        trained(loans, tmp_path, watch)
    states = sorted(int(path.stem[5:]) for path in (tmp_path / "checkpoints").glob("*.index"))
    assert states[-1] in (4, 18)
    assert f"within {states[-1]}:" not in " ".join(watch.events)
    run = trained(loans, tmp_path)
    assert untimed(run) == untimed(whole)
    assert_equal(weights(run), weights(whole))


def test_a_state_of_an_earlier_version_goes_on() -> None:
    fields = json.loads(State(waited=3, validated=8).to_json())
    del fields["validated"]
    state = State.from_json(json.dumps(fields))
    assert (state.waited, state.validated) == (3, 0)


def test_without_validation_rows_it_is_refused(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    without = DataConfig(schema=loans.schema, train=loans.train)
    rule = r"--validate_steps needs validation rows: .* Received: 4"
    with pytest.raises(RunError, match=rule):
        trained(without, tmp_path / "run", valid_fraction=0.0)
    assert not (tmp_path / "run").exists()
