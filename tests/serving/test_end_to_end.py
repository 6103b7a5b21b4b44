"""Train, export, check, serve, ask: what the client gets is what `model.predict` says."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver
from servers import LocalServer

from tafe_tf import train
from tafe_tf.data.formats.write import write
from tafe_tf.export.gate import check
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import ABSENT
from tafe_tf.serving.client import Client
from tafe_tf.training.run_dir import RunDir

FLAGS = absl_flags.FLAGS


def unseen(rows: dict[str, list[object]], name: str) -> dict[str, list[object]]:
    """The same rows; every tenth has a user, and every tenth an item, that training never met."""
    user = list(rows["user"])
    for i in range(0, len(user), 10):
        user[i] = 10_000 + i if name == "numbers" else f"new {i}"
    item = list(rows["item"])
    item[5::10] = [-7] * len(item[5::10])
    return {**rows, "user": user, "item": item}


def predicted(run: RunDir, rows: dict[str, list[object]]) -> dict[str, np.ndarray]:
    """The outputs by `model.predict`, from rows padded here, not by the client."""
    features = run.features()
    columns = {}
    for column in features.schema.inputs:
        absent = ABSENT[column.dtype]
        values: list[Any] = [absent if value is None else value for value in rows[column.name]]
        if column.max_length:
            length = max(len(value) for value in values)
            values = [[*value, *[absent] * (length - len(value))] for value in values]
        columns[column.name] = tf.constant(values, column.dtype)
    logits = run.load_best().predict(features(columns), verbose=0)
    return {
        name: keras.ops.convert_to_numpy(p)
        for name, p in probabilities(logits, features.schema).items()
    }


@pytest.mark.parametrize(
    "name", ["shop", pytest.param("loans", marks=pytest.mark.slow)]
)  # strings, weighted lists, missing values; three steps
def test_the_client_gets_what_the_model_predicts(name: str, tmp_path: pathlib.Path) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    write(tmp_path / "train.parquet", small_models.rows(name, 2000))
    (tmp_path / "schema.toml").write_text(small_models.SCHEMAS[name])
    sizes = {"embedding_dim": 4, "num_inducing": 4, "num_layers": 1, "batch_size": 64, "epochs": 1}
    with flagsaver.flagsaver(
        data_dir=str(tmp_path), run_dir=str(tmp_path / "run"), learning_rate=0.02, **sizes
    ):
        train.train()
    run = RunDir(tmp_path / "run")
    path = publish(run, tmp_path / "export", ExportConfig(version=1))
    assert len(check(path)) == 6
    with (
        LocalServer(
            tmp_path / "log",
            f"--model_base_path={path.parent}",
            f"--model_name={name}",
            "--native=auto",
        ) as server,
        Client(server.grpc, name, timeout=60.0) as client,
    ):
        for count, seed in ((1, 1), (10_000, 2)):
            rows = unseen(small_models.rows(name, count, seed), name)
            outputs, expected = client.predict(rows), predicted(run, rows)
            assert set(outputs) == set(expected)
            for output, values in expected.items():
                np.testing.assert_allclose(
                    outputs[output], values, rtol=0, atol=1e-6, err_msg=output
                )
        assert np.ptp(outputs[run.schema().step_names[0]]) > 0.01  # rows do differ
