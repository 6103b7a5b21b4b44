"""A learning rate that falls on a plateau: when, from which weights on, and after a kill."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import small_models

from tafe_tf.data.formats.write import write
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.early_stopping import EarlyStopping
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

MODEL = ModelConfig(
    name="shared_bottom",
    arguments={"embedding_dim": 4, "bottom_units": [8], "tower_units": [4], "dropout": 0.1},
)
MONITOR = "log_loss/p_view"
RATE = 0.1
SETTINGS: dict[str, Any] = {
    "epochs": 40,
    "patience": 3,
    "monitor": MONITOR,
    "batch_size": 50,
    "learning_rate": RATE,
    "steps_per_call": 3,
    "checkpoint_steps": 4,
    "intercept_rows": 0,
}


class Killed(Exception):
    """Ends a training as a kill does."""


class Watch(keras.callbacks.Callback):
    """Notes the rate and the weights at the begin and end of each epoch; raises before a step."""

    def __init__(self, dies_before: int = -1) -> None:
        super().__init__()
        self._dies_before = dies_before
        self.rates: list[float] = []
        self.begins: list[list[np.ndarray]] = []
        self.ends: list[list[np.ndarray]] = []

    def _weights(self) -> list[np.ndarray]:
        return [np.array(variable) for variable in self.model.variables]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))
        self.begins.append(self._weights())

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if 0 <= self._dies_before <= int(self.model.optimizer.iterations):
            raise Killed

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ends.append(self._weights())


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """599 training rows of a funnel of three steps, and 200 to validate."""
    directory = tmp_path_factory.mktemp("loans")
    (directory / "schema.toml").write_text(small_models.SCHEMAS["loans"])
    for seed, (name, count) in enumerate({"train": 599, "valid": 200}.items()):
        write(directory / f"{name}.parquet", small_models.rows("loans", count, seed))
    return DataConfig.in_directory(directory)


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


def test_it_falls_after_each_validation_that_is_not_the_best(
    loans: DataConfig,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = Watch()
    run = trained(loans, tmp_path / "run", watch)
    losses = [float(entry[MONITOR] or 0.0) for entry in run.history]
    rate, falls, best = RATE, 0, 0
    for epoch, loss in enumerate(losses):
        assert watch.rates[epoch] == pytest.approx(rate)
        if epoch and loss >= losses[best]:
            falls += 1
            rate *= 0.2
        else:
            best = epoch
        has_next = epoch + 1 < len(losses)
        if has_next:
            assert_equal(watch.begins[epoch + 1], watch.ends[best])
            assert falls <= SETTINGS["patience"]
    assert falls == SETTINGS["patience"] + 1
    assert len(losses) < SETTINGS["epochs"]
    assert_equal(weights(run), watch.ends[best])
    assert capsys.readouterr().out.count("the learning rate falls to") == SETTINGS["patience"]


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({}, 25),
        pytest.param({}, 44, marks=pytest.mark.slow),
        pytest.param({"validate_steps": 4}, 13, marks=pytest.mark.slow),
        pytest.param({"validate_steps": 4}, 18, marks=pytest.mark.slow),
    ],
)
def test_a_kill_changes_nothing(
    loans: DataConfig,
    tmp_path: pathlib.Path,
    settings: dict[str, Any],
    step: int,
) -> None:
    whole = trained(loans, tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        trained(loans, tmp_path / "killed", Watch(step), **settings)
    run = trained(loans, tmp_path / "killed", **settings)
    assert [entry[MONITOR] for entry in run.history] == [entry[MONITOR] for entry in whole.history]
    assert_equal(weights(run), weights(whole))


def test_without_validation_rows_it_falls_linearly(
    loans: DataConfig,
    tmp_path: pathlib.Path,
) -> None:
    without = DataConfig(schema=loans.schema, train=loans.train)
    watch = Watch()
    run = trained(without, tmp_path / "run", watch, valid_fraction=0.0, epochs=4)
    assert watch.rates == pytest.approx([RATE, 0.75 * RATE, 0.5 * RATE, 0.25 * RATE], rel=1e-5)
    assert "--learning_rate_decay=linear" in (run.path / "flags.txt").read_text()


def test_falls_are_counted_over_the_whole_training() -> None:
    stopping = EarlyStopping("auc/ctr", patience=1, step_names=("ctr",), falls=True)
    reached = [0.5, 0.4, 0.6, 0.6]
    were_best, were_over = [], []
    for auc in reached:
        were_best.append(stopping.is_best({"auc/ctr": auc, "rows": 9}))
        were_over.append(stopping.is_over)
    assert were_best == [True, False, True, False]
    assert were_over == [False, False, False, True]
