"""What MLflow is told of a training, read back by its own client from a SQLite store."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver

import tafe_tf
from tafe_tf import train
from tafe_tf.data.atomic import read_json
from tafe_tf.export import saved_model
from tafe_tf.insight.tracking.job import Tracking
from tafe_tf.insight.tracking.mlflow_run import MlflowRun, uri_of
from tafe_tf.insight.tracking.together import Together
from tafe_tf.terminal.command import CommandError
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run
from tafe_tf.training.run_dir import RunDir

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")

MODEL = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4, "bottom_units": [8]})
TRAINING: dict[str, Any] = {
    "patience": 9,
    "batch_size": 60,
    "steps_per_call": 3,
    "learning_rate_decay": "none",
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store whose tables are made once; artifacts go into a folder beside it."""
    folder = tmp_path_factory.mktemp("tracker")
    uri = f"sqlite:///{folder}/runs.db"
    client = mlflow.MlflowClient(tracking_uri=uri)
    for name in ("loans", "other"):
        client.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
    yield uri


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return small_models.make_data(tmp_path_factory.mktemp("loans"), "loans")


def tracked(
    data: DataConfig,
    path: pathlib.Path,
    uri: str,
    *callbacks: keras.callbacks.Callback,
    epochs: int = 2,
    has_report: bool = False,
) -> tuple[Run, Tracking]:
    tracking = Tracking(f"mlflow:{uri}", RunDir(path))
    with tracking.of_training():
        run = fit(
            data,
            path,
            model=MODEL,
            training=TrainingConfig(epochs=epochs, **TRAINING),
            callbacks=[tracking.callback, *callbacks],
            verbose=False,
        )
    tracking.finish(run if has_report else None)
    return run, tracking


def test_a_training_is_read_back(loans: DataConfig, tmp_path: pathlib.Path, uri: str) -> None:
    run, tracking = tracked(loans, tmp_path / "first", uri, has_report=True)
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_run(tracking.run.id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "first")
    assert client.get_experiment(found.info.experiment_id).name == "loans"
    assert found.data.params["model"] == "shared_bottom"
    assert found.data.params["batch_size"] == "60" and found.data.params["epochs"] == "2"
    assert found.data.params["schema_name"] == "loans" and len(found.data.params["data"]) == 16
    assert found.data.tags["tafe_tf.version"] == "0.1.0"
    assert found.data.tags["tafe_tf.steps"] == "view,apply,fund"
    valid = client.get_metric_history(tracking.run.id, "valid/auc/p_view")
    assert [metric.value for metric in valid] == [epoch["auc/p_view"] for epoch in run.history]
    losses = client.get_metric_history(tracking.run.id, "train/loss")
    steps = [metric.step for metric in losses]
    per_epoch = int(run.history[0]["train_rows"] or 0) // 60
    assert steps[0] == 3 and steps[-1] == 2 * per_epoch == valid[-1].step
    assert steps == sorted(set(steps))
    for name, value in (run.metrics or {}).items():
        if value is not None:
            assert found.data.metrics[f"test/{name}"] == value
    artifacts = {file.path for file in client.list_artifacts(tracking.run.id)}
    assert {"flags.txt", "history.json", "metrics.json", "schema.toml"} <= artifacts
    assert "report.html" in artifacts
    assert read_json(tmp_path / "first" / "tracking.json") == {uri: tracking.run.id}


class Stop(keras.callbacks.Callback):
    """Ends the process's training, as a kill would, after the first epoch's second call."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if int(self.model.optimizer.iterations.value.numpy()) > 12:
            raise KeyboardInterrupt


def test_a_resumed_training_goes_on_in_the_same_run(
    loans: DataConfig, tmp_path: pathlib.Path, uri: str
) -> None:
    path = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        tracked(loans, path, uri, Stop())
    (number,) = read_json(path / "tracking.json").values()
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert client.get_run(number).info.status == "KILLED"
    run, tracking = tracked(loans, path, uri)
    assert tracking.run.id == number
    found = client.get_run(number)
    assert found.info.status == "FINISHED"
    whole, of_whole = tracked(loans, tmp_path / "whole", uri)
    assert whole.history[-1]["auc/p_view"] == run.history[-1]["auc/p_view"]
    for name in ("train/loss", "valid/auc/p_view"):
        again = {metric.step: metric.value for metric in client.get_metric_history(number, name)}
        once = client.get_metric_history(of_whole.run.id, name)
        assert len(client.get_metric_history(number, name)) == len(again)  # no step twice
        assert again == {metric.step: metric.value for metric in once}
    tracked(loans, path, uri, epochs=3)  # a larger number of epochs is the same run
    found = client.get_run(number)
    assert found.data.params["epochs"] == "2" and found.data.tags["changed.epochs"] == "3"
    assert len(client.get_metric_history(number, "valid/auc/p_view")) == 3


class Failing:
    """MLflow's client, whose server does not answer until it is told to."""

    answers = False
    asked = 0

    def __init__(self, tracking_uri: str) -> None:
        self._client = Real(tracking_uri=tracking_uri)

    def __getattr__(self, name: str) -> Any:
        Failing.asked += 1
        if not Failing.answers:
            raise ConnectionError("nobody is there\nand so on")
        return getattr(self._client, name)


Real = mlflow.MlflowClient


def test_a_tracker_that_fails_loses_no_training_and_is_told_at_the_end(
    loans: DataConfig,
    tmp_path: pathlib.Path,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mlflow, "MlflowClient", Failing)

    class Answer(keras.callbacks.Callback):
        def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
            assert Failing.asked == 1  # once, and not at every step
            Failing.answers = True

    run, tracking = tracked(loans, tmp_path / "late", uri, Answer())
    found = Real(tracking_uri=uri).get_run(tracking.run.id)
    assert found.info.status == "FINISHED"
    history = Real(tracking_uri=uri).get_metric_history(tracking.run.id, "valid/auc/p_view")
    assert [metric.value for metric in history] == [epoch["auc/p_view"] for epoch in run.history]
    Failing.answers = False
    tracking.finish()
    told = capsys.readouterr().out
    assert told.count("warning: --tracking") == 1  # fit printed nothing here
    assert "does not take this run: nobody is there; run the same command again" in told
    assert (run.path / "metrics.json").exists()


def test_a_training_that_fails_is_told(loans: DataConfig, tmp_path: pathlib.Path, uri: str) -> None:
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        tracked(loans, tmp_path / "broken", uri, Break())
    (number,) = read_json(tmp_path / "broken" / "tracking.json").values()
    assert Real(tracking_uri=uri).get_run(number).info.status == "FAILED"


@pytest.mark.slow
def test_train_and_export_by_command(
    loans: DataConfig,
    tmp_path: pathlib.Path,
    uri: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not absl_flags.FLAGS.is_parsed():
        absl_flags.FLAGS(["test"])
    path = tmp_path / "run"
    with flagsaver.flagsaver(
        data_dir=loans.data_dir,
        run_dir=str(path),
        model="shared_bottom",
        epochs=1,
        batch_size=60,
        tracking=f"mlflow:{uri}",
        tracking_parent="12ab",
    ):
        train.main(["train"])
        train.main(["train"])  # there is nothing left to do, and it is the same run
        with flagsaver.flagsaver(export_dir=str(tmp_path / "export"), version=1):
            saved_model.main(["export"])
    (number,) = read_json(path / "tracking.json").values()
    client = Real(tracking_uri=uri)
    found = client.get_run(number)
    assert found.data.tags["mlflow.parentRunId"] == "12ab"
    assert found.info.run_name == f"{tmp_path.name}/run"
    assert found.info.status == "FINISHED"
    assert found.data.tags["tafe_tf.export"] == str(tmp_path / "export" / "1")
    shown = capsys.readouterr().out
    assert f"kept as the model of run {number}" in shown and "warning: --tracking" not in shown
    folder = pathlib.Path(client.download_artifacts(number, "model", str(tmp_path)))
    rows = pd.DataFrame(small_models.rows("loans", 20, seed=2))
    answers = mlflow.pyfunc.load_model(str(folder)).predict(rows)
    expected = tafe_tf.load(path).predict(rows)
    np.testing.assert_allclose(answers["p_fund"], expected["p_fund"], rtol=1e-5)
    example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
    assert list(example.columns) == ["user", "item"] and len(example) == 3


def test_the_run_of_a_comparison(tmp_path: pathlib.Path, uri: str) -> None:
    (tmp_path / "common.flags").write_text("--epochs=1\n")
    (tmp_path / "compare.md").write_text("figures\n")
    together = Together(f"mlflow:{uri}", tmp_path, "compare", "loans")
    address, parent = together.arguments
    assert address == f"--tracking=mlflow:{uri}"
    together.finish([tmp_path / "compare.md", tmp_path / "compare.html"])
    client = Real(tracking_uri=uri)
    number = parent.removeprefix("--tracking_parent=")
    assert client.get_run(number).data.params == {"epochs": "1"}
    assert client.get_run(number).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(number)] == ["compare.md"]
    again = Together(f"mlflow:{uri}", tmp_path, "compare", "loans")
    assert again.arguments == together.arguments
    assert Together("", tmp_path, "compare", "loans").arguments == ()


def test_a_run_that_the_tracker_has_lost_is_made_anew(tmp_path: pathlib.Path, uri: str) -> None:
    numbers = []
    for _ in range(2):
        run = MlflowRun(
            f"{uri}",
            tmp_path,
            name="lost",
            experiment=lambda: "other",
            describe=lambda: ({"a": "x" * 7000, **{f"p{i}": "1" for i in range(250)}}, {}),
        )
        run.open()
        numbers.append(run.id)
        Real(tracking_uri=uri).delete_run(run.id)
    assert len(set(numbers)) == 2
    params = Real(tracking_uri=uri).get_run(numbers[0]).data.params
    assert len(params) == 251 and params["a"] == "x" * 6000


@pytest.mark.parametrize("address", ["", "http://tracker", "mlflow:"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(CommandError, match=r"--tracking must be mlflow:URI, such as .* Received"):
        uri_of(address)


def test_mlflow_tells_its_makers_nothing() -> None:
    uri_of("mlflow:sqlite://")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
