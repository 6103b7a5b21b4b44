"""A funnel of one step, from raw files to served answers, as any other funnel."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from compare_jobs import run as run_command
from scoring_jobs import job
from servers import LocalServer
from sklearn.metrics import log_loss, roc_auc_score

from tafe_tf.data.atomic import read_json
from tafe_tf.data.formats.write import write
from tafe_tf.export.first_rows import score_first_rows
from tafe_tf.export.gate import check
from tafe_tf.export.model_card import FILE as MODEL_CARD
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.metrics import DIRECTIONS
from tafe_tf.report import history_table
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.client import Client
from tafe_tf.terminal.tables import metrics_table, truth_table
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run, load

SCHEMA = """
name = "offers"
group = "user"
[[tasks]]
name = "taken"
positive = ["yes"]
negative = ["no"]
truth = "p_taken"
[[features]]
name = "user"
kind = "integer"
size = 30
side = "user"
[[features]]
name = "item"
kind = "hash"
dtype = "int64"
buckets = 20
"""
SIZES = {
    "embedding_dim": 4,
    "num_inducing": 4,
    "num_layers": 1,
    "dropout": 0.0,
    "deep_units": 0,
}


def rows(count: int, seed: int) -> dict[str, list[Any]]:
    """Rows whose user decides how likely "yes" is."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 30, count)
    truth = 0.05 + 0.9 * (user % 10) / 10
    taken = rng.random(count) < truth
    return {
        "user": user.tolist(),
        "item": rng.integers(0, 100, count).tolist(),
        "taken": ["yes" if happened else "no" for happened in taken],
        "p_taken": truth.tolist(),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("data")
    (directory / "schema.toml").write_text(SCHEMA)
    write(directory / "train.parquet", rows(2000, seed=0))
    write(directory / "test.csv", rows(500, seed=1))
    return directory


def trained(data: pathlib.Path, path: pathlib.Path, name: str = "tafe", **settings: Any) -> Run:
    arguments = SIZES if name == "tafe" else {"embedding_dim": 4}
    training = TrainingConfig(
        epochs=1, batch_size=100, learning_rate=0.03, **{"valid_fraction": 0.3, **settings}
    )
    model = ModelConfig(name=name, arguments=arguments)
    return fit(DataConfig.in_directory(data), path, model=model, training=training, verbose=False)


@pytest.fixture(scope="module")
def run(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(data, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def export(run: Run, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    config = ExportConfig(version=1, calibration="platt")
    return publish(run.directory, tmp_path_factory.mktemp("export") / "offers", config)


def test_it_has_the_metrics_of_one_step(run: Run, data: pathlib.Path) -> None:
    metrics = read_json(run.directory.path / "metrics.json")
    (p,) = run.predict(data / "test.csv").values()
    y = [label == "yes" for label in rows(500, seed=1)["taken"]]
    assert metrics["auc/ctr"] == pytest.approx(roc_auc_score(y, p), abs=1e-4)  # logits tie less
    assert metrics["log_loss/ctr"] == pytest.approx(log_loss(y, p), rel=1e-5)
    assert metrics["auc/ctr"] > 0.6
    assert metrics["truth_auc_best/ctr"] > 0.7
    of = set()
    for name in metrics:
        kind, _, measured = name.partition("/")
        if kind in DIRECTIONS:
            of.add(measured)
    assert of == {"", "ctr"}  # nothing of a later step or a conditional
    schema = run.schema
    table = metrics_table(metrics, schema, "test")
    assert table.title == "test: 500 rows"
    assert table.row_count == 1
    assert truth_table(metrics, schema, "truth").row_count == 1
    history = read_json(run.directory.path / "history.json")
    headers = [column.header for column in history_table(history, schema, "run").columns]
    assert headers == ["epoch", "seconds", "AUC ctr"]


@pytest.mark.slow
def test_it_is_exported_and_served(
    run: Run, export: pathlib.Path, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert check(export)
    card = read_json(export / MODEL_CARD)
    assert card["outputs"] == {"all impressions": ["ctr"], "given the step before": []}
    raw = rows(500, seed=1)
    asked = {name: raw[name] for name in ("user", "item")}
    model = SessionModel(export)
    assert set(model.signatures) >= {"serving_default", "ctr", "examples", "rank"}
    expected = model({name: np.array(values) for name, values in asked.items()})
    model.close()
    assert list(expected) == ["ctr"]
    p = expected["ctr"]
    y = [label == "yes" for label in raw["taken"]]
    assert roc_auc_score(y, p) == pytest.approx(
        roc_auc_score(y, run.predict(asked)["ctr"]), abs=1e-3
    )  # the calibration keeps the order
    table = score_first_rows(export.parent, data / "test.csv", rows=3)
    assert [column.header for column in table.columns] == ["row", "ctr", "true", "reached"]
    (data / "in").mkdir()
    file = data / "in" / "a.csv"
    write(file, asked)
    task = job(export, file, output=str(tmp_path / "out"))
    scoring.run(task)
    (part,) = (tmp_path / "out").glob("a*.parquet")
    np.testing.assert_allclose(pq.read_table(part)["ctr"].to_numpy(), p, rtol=1e-6)
    flags = (f"--model_base_path={export.parent}", "--model_name=offers")
    with (
        LocalServer(tmp_path / "log", *flags) as server,
        Client(server.grpc, "offers", timeout=60.0) as client,
    ):
        np.testing.assert_allclose(client.predict(asked)["ctr"], p, rtol=1e-6)
        only = client.predict(asked, signature="ctr")
        np.testing.assert_allclose(only["ctr"], p, rtol=1e-6)


@pytest.mark.slow
def test_it_goes_on_from_an_earlier_run(
    run: Run, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    later = tmp_path / "later"
    later.mkdir()
    (later / "schema.toml").write_text(SCHEMA)
    write(later / "train.parquet", rows(1000, seed=2))
    write(later / "test.csv", rows(500, seed=3))
    after = trained(later, tmp_path / "run", warm_start=str(run.directory.path))
    path = publish(after.directory, tmp_path / "export", ExportConfig(version=2))
    previous = read_json(path / MODEL_CARD)["previous"]
    assert previous["broken"] == []
    assert set(previous["metrics"]) == set(previous["metrics_before"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["escm2", "esm2", "mmoe", "single_task"])
def test_a_model_of_each_kind_of_loss_trains_and_exports(
    name: str, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = trained(data, tmp_path / "run", name)
    metrics = read_json(run.directory.path / "metrics.json")
    assert metrics["auc/ctr"] > 0.55
    assert check(publish(run.directory, tmp_path / "export", ExportConfig(version=1)))


@pytest.mark.slow
def test_it_is_compared(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    models = "--models=single_task,shared_bottom"
    ended = run_command(
        "tafe_tf.compare",
        data,
        models,
        f"--run_dir={tmp_path / 'compare'}",
        "--replicates=20",
        "--seeds=1",
        "--epochs=1",
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads((tmp_path / "compare" / "compare.json").read_text())
    assert set(told["models"]["shared_bottom"]["gain"]) == {"auc/ctr"}
    text = (tmp_path / "compare" / "compare.md").read_text()
    assert "violations" not in text
    assert "AUC ctr" in text


@pytest.mark.slow
def test_a_generated_funnel_of_one_step_trains_from_shards(tmp_path: pathlib.Path) -> None:
    def command(module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    raw, shards, run = (str(tmp_path / name) for name in ("raw", "shards", "run"))
    command(
        "tafe_tf.generate",
        f"--data_dir={raw}",
        "--train_rows=2000",
        "--test_rows=500",
        "--tasks=click",
        "--rates=0.3",
    )
    command("tafe_tf.prepare", f"--data_dir={raw}", f"--output_dir={shards}")
    command("tafe_tf.train", f"--data_dir={shards}", f"--run_dir={run}", "--model=shared_bottom")
    said = command("tafe_tf.report", run)
    assert "a later step above" not in said
    assert load(run).schema.step_names == ("ctr",)
