"""Keras callbacks in our loop: they see what Keras shows them, and may stop the training."""

from __future__ import annotations

import csv
import json
import math
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import small_models

from tafe_tf import schema_toml
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

TINY = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4, "bottom_units": [8]})
EPOCHS = 3
BATCH, PER_CALL = 60, 3  # rows of a step, and steps of a call


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """600 training and 300 test rows of a funnel of three steps."""
    return small_models.make_data(tmp_path_factory.mktemp("loans"), "loans")


def run(data: DataConfig, path: pathlib.Path, *callbacks: keras.callbacks.Callback) -> Run:
    config = TrainingConfig(
        epochs=EPOCHS,
        patience=EPOCHS,
        batch_size=BATCH,
        steps_per_call=PER_CALL,
        learning_rate=0.01,
        learning_rate_decay="none",
    )
    return fit(data, path, model=TINY, training=config, callbacks=callbacks, verbose=False)


def test_events_come_in_keras_order(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    events: list[str] = []
    logs_seen: dict[str, Any] = {}

    def note(event: str) -> Any:
        def called(*_: Any, logs: Any = None) -> None:
            events.append(event)
            logs_seen[event] = logs or (_[-1] if _ else None)

        return called

    names = ("train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end")
    listening = {f"on_{name}": note(name) for name in (*names, "train_end")}
    finished = run(loans, tmp_path, keras.callbacks.LambdaCallback(**listening))

    steps = int(finished.history[0]["train_rows"] or 0) // BATCH
    calls = math.ceil(steps / PER_CALL)
    assert calls >= 2
    epoch = ["epoch_begin", *["train_batch_begin", "train_batch_end"] * calls, "epoch_end"]
    assert events == ["train_begin", *epoch * EPOCHS, "train_end"]
    last = finished.history[-1]
    assert logs_seen["epoch_end"]["val_auc/p_view"] == last["auc/p_view"]
    aucs = [last[f"auc/p_{task}"] for task in ("view", "apply", "fund")]
    mean_auc = np.mean([auc or 0.0 for auc in aucs])
    assert logs_seen["epoch_end"]["val_mean_auc"] == pytest.approx(mean_auc)
    assert logs_seen["epoch_end"]["loss"] == pytest.approx(last["train_loss"])
    assert set(logs_seen["train_batch_end"]) == {
        *("loss", "rows", "log_loss/view", "log_loss/apply", "log_loss/fund")
    }


def test_the_loss_of_an_epoch_is_the_mean_over_its_steps(
    loans: DataConfig, tmp_path: pathlib.Path
) -> None:
    by_epoch: list[list[tuple[int, float]]] = []

    def begin(*_: Any) -> None:
        by_epoch.append([])

    def batch(_: int, logs: dict[str, Any]) -> None:
        by_epoch[-1].append((logs["rows"], logs["loss"]))

    listening = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_train_batch_end=batch)
    finished = run(loans, tmp_path, listening)
    for calls, epoch in zip(by_epoch, finished.history, strict=True):
        rows, losses = np.transpose(calls)
        assert rows.sum() == epoch["train_rows"]
        assert np.average(losses, weights=rows) == pytest.approx(epoch["train_loss"])


def test_keras_csv_logger(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    finished = run(loans, tmp_path / "run", keras.callbacks.CSVLogger(str(tmp_path / "log.csv")))
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for row, epoch in zip(rows, finished.history, strict=True):
        assert float(row["val_log_loss/p_fund"]) == epoch["log_loss/p_fund"]


def test_keras_early_stopping_ends_the_training_for_good(
    loans: DataConfig, tmp_path: pathlib.Path
) -> None:
    def impatient() -> keras.callbacks.Callback:
        return keras.callbacks.EarlyStopping(
            monitor="val_auc/p_view", mode="max", min_delta=1.0, patience=1
        )

    finished = run(loans, tmp_path, impatient())
    assert len(finished.history) == 2
    before = [np.array(variable) for variable in finished.model.variables]
    again = run(loans, tmp_path, impatient())  # the same call finds nothing left to do
    assert len(again.history) == 2
    for a, b in zip(again.model.variables, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_callback_stops_in_the_middle_of_an_epoch(
    loans: DataConfig, tmp_path: pathlib.Path
) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = batch == 0

    finished = run(loans, tmp_path, Stop())
    (only,) = finished.history
    assert only["train_rows"] == PER_CALL * BATCH
    assert (tmp_path / "metrics.json").exists()


def test_a_callback_may_change_the_learning_rate(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    rates: list[float] = []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            rates.append(float(self.model.optimizer.learning_rate))

    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 * 0.5**epoch)
    run(loans, tmp_path, halve, Note())
    assert rates == pytest.approx([0.01, 0.005, 0.0025])


def test_mlflow_notes_the_metrics(
    loans: DataConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # in maintenance mode, but it needs no server
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    run_id = client.create_run(client.create_experiment("shop")).info.run_id

    def note(epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            client.log_metric(run_id, name, value, step=epoch)

    finished = run(loans, tmp_path / "run", keras.callbacks.LambdaCallback(on_epoch_end=note))
    noted = client.get_metric_history(run_id, "val_auc/p_apply")
    assert [metric.value for metric in noted] == [each["auc/p_apply"] for each in finished.history]


def test_a_finished_run_shows_callbacks_nothing(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log.csv"
    run(loans, tmp_path / "run", keras.callbacks.CSVLogger(str(log)))
    before = log.read_text()
    run(loans, tmp_path / "run", keras.callbacks.CSVLogger(str(log)))
    assert log.read_text() == before and before.count("\n") == EPOCHS + 1


def test_a_callback_that_resumes_by_itself_is_refused(
    loans: DataConfig, tmp_path: pathlib.Path
) -> None:
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(
        ValueError, match=r"BackupAndRestore cannot be used here, .* call fit again"
    ):
        run(loans, tmp_path / "run", backup)
    with pytest.raises(TypeError, match=r"callbacks must be keras.callbacks.Callback objects. Rec"):
        run(loans, tmp_path / "run", print)


def test_kerass_own_progress_bar(
    loans: DataConfig, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(loans, tmp_path, keras.callbacks.ProgbarLogger())
    assert (tmp_path / "metrics.json").exists()


def test_stopped_before_the_first_batch(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = True

    (only,) = run(loans, tmp_path, Stop()).history
    assert only["train_rows"] == 0 and only["train_loss"] is None


def test_callbacks_change_no_weight(loans: DataConfig, tmp_path: pathlib.Path) -> None:
    plain = run(loans, tmp_path / "plain")
    watched = run(loans, tmp_path / "watched", keras.callbacks.LambdaCallback())
    for a, b in zip(plain.model.variables, watched.model.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert json.loads((tmp_path / "plain" / "metrics.json").read_text())["rows"] == 300
    assert schema_toml.load(tmp_path / "plain" / "schema.toml") == loans.schema
