"""MLflow's own server: a training is logged over HTTP, and read by its REST API and as its page."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import clusters
import numpy as np
import pandas as pd
import pytest
import small_models

from tafe_tf.data.formats.write import write
from tafe_tf.export import tracked
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.insight.tracking.job import Tracking
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run_dir import RunDir

pytestmark = pytest.mark.engines


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[str]:
    """The address of a server that keeps runs and artifacts in a folder."""
    clusters.need("flask")  # which the server has, and the client has not
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", f"--port={port}", "--workers=1"),
        f"--backend-store-uri=sqlite:///{tmp_path}/runs.db",
        f"--artifacts-destination={tmp_path}/artifacts",
    ]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "server.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            clusters.wait_for(lambda: process.poll() is not None or _answers(address))
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(address: str) -> bool:
    try:
        return get(f"{address}/health") == b"OK"
    except OSError:
        return False


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:
        found: bytes = answer.read()
        return found


def test_a_training_over_http(server: str, tmp_path: pathlib.Path) -> None:
    import mlflow

    data = tmp_path / "data"
    data.mkdir()
    (data / "schema.toml").write_text(small_models.SCHEMAS["loans"])
    write(data / "train.parquet", small_models.rows("loans", 600))
    write(data / "test.parquet", small_models.rows("loans", 300, seed=1))
    directory = RunDir(tmp_path / "run")
    tracking = Tracking(f"mlflow:{server}", directory)
    with tracking.of_training():
        run = fit(
            DataConfig.in_directory(data),
            directory.path,
            model=ModelConfig(name="shared_bottom"),
            training=TrainingConfig(epochs=2, batch_size=60),
            callbacks=[tracking.callback],
            verbose=False,
        )
    tracking.finish(run)
    version = publish(directory, tmp_path / "export", ExportConfig(version=1))
    tracked.keep(f"mlflow:{server}", directory, version)

    number = tracking.run.id
    answer: dict[str, Any] = json.loads(get(f"{server}/api/2.0/mlflow/runs/get?run_id={number}"))
    found = answer["run"]
    assert found["info"]["status"] == "FINISHED"
    params = {each["key"]: each["value"] for each in found["data"]["params"]}
    assert params["model"] == "shared_bottom" and params["epochs"] == "2"
    metrics = {each["key"]: each["value"] for each in found["data"]["metrics"]}
    assert metrics["test/auc/p_view"] == pytest.approx((run.metrics or {})["auc/p_view"])
    assert metrics["valid/auc/p_view"] == pytest.approx(run.history[-1]["auc/p_view"])
    listed = json.loads(get(f"{server}/api/2.0/mlflow/artifacts/list?run_id={number}"))
    names = {each["path"] for each in listed["files"]}
    assert {"metrics.json", "report.html", "model"} <= names
    page = get(server).decode()
    assert "<title>MLflow</title>" in page and "<script" in page
    report = get(f"{server}/get-artifact?run_uuid={number}&path=report.html").decode()
    assert report == run.report().html

    mlflow.set_tracking_uri(server)
    rows = pd.DataFrame(small_models.rows("loans", 20, seed=2))
    answers = mlflow.pyfunc.load_model(f"runs:/{number}/model").predict(rows)
    np.testing.assert_allclose(answers["p_fund"], run.predict(rows)["p_fund"], rtol=1e-5)
