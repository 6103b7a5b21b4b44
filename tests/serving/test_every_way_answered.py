"""A table that a model was trained on as CSV is answered alike, by whatever way it is asked."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import every_way
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_rows import draw, schema_of
from servers import LocalServer

from tafe_tf import schema_toml
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.client import Client
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

ROWS = 200
SEED = 3


def some_columns() -> every_way.Columns:
    """Drawn columns of every dtype, but not all: TensorFlow traces each for a while."""
    columns = draw(SEED, ROWS)
    names = {*list(columns)[::5], "size", "list_string_text", "weights", "click", "buy"}
    return {name: drawn for name, drawn in columns.items() if name in names}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was trained on the CSV file of the drawn rows."""
    directory = tmp_path_factory.mktemp("drawn")
    columns = some_columns()
    made = every_way.by_csv(columns, directory, random.Random(SEED))
    pathlib.Path(made).rename(directory / "train.csv")
    (directory / "schema.toml").write_text(schema_toml.dump(schema_of(columns, buckets=100)))
    sizes = {"embedding_dim": 4, "num_inducing": 4, "num_layers": 1, "embedding_stddev": 0.3}
    training = TrainingConfig(epochs=1, batch_size=50, learning_rate=0.02, valid_fraction=0.2)
    return fit(
        DataConfig.in_directory(directory),
        directory / "run",
        model=ModelConfig(arguments=sizes),
        training=training,
        verbose=False,
    )


def sources(directory: pathlib.Path) -> dict[str, Any]:
    """The drawn rows in every file and every library's table."""
    columns = some_columns()
    found = {}
    for way, make in every_way.FILES_AND_FRAMES.items():
        found[way] = make(columns, directory, random.Random(SEED))
    return found


def differing(answers: dict[str, dict[str, np.ndarray]]) -> dict[str, int]:
    """For each way that is answered otherwise than the first, how many values differ."""
    first = next(iter(answers.values()))
    found = {}
    for way, outputs in answers.items():
        assert set(outputs) == set(first)
        count = sum(int((outputs[name] != first[name]).sum()) for name in first)
        if count:
            found[way] = count
    return found


def test_the_run_answers_alike(run: Run, tmp_path: pathlib.Path) -> None:
    answers = {way: run.predict(rows) for way, rows in sources(tmp_path).items()}
    assert len(answers) == 13 and differing(answers) == {}
    assert all(np.ptp(values) > 1e-3 for values in answers["CSV"].values())


@pytest.mark.slow
def test_the_served_model_answers_alike(run: Run, tmp_path: pathlib.Path) -> None:
    path = publish(run.directory, tmp_path / "export", ExportConfig(version=1))
    answers = {}
    (tmp_path / "rows").mkdir()
    of_ways = sources(tmp_path / "rows")
    with (
        LocalServer(
            tmp_path / "log", f"--model_base_path={path.parent}", "--model_name=drawn"
        ) as server,
        Client(server.grpc, "drawn", timeout=60.0) as client,
    ):
        for way, rows in of_ways.items():
            if not isinstance(rows, str):
                answers[way] = dict(client.predict(rows))
    assert len(answers) == 9 and differing(answers) == {}
    scored = {}
    for way in ("CSV", "Parquet", "TFRecord"):
        output = tmp_path / f"scores-{way}"
        scoring.run(Job(model=str(path), inputs=find_inputs([of_ways[way]]), output=str(output)))
        table = pa.concat_tables([pq.read_table(part) for part in sorted(output.glob("*.parquet"))])
        scored[way] = {name: table[name].to_numpy() for name in answers["cells"]}
    assert differing(scored) == {}
    for name, values in run.predict(of_ways["CSV"]).items():
        np.testing.assert_allclose(answers["cells"][name], values, rtol=0, atol=1e-6)
        np.testing.assert_allclose(scored["CSV"][name], values, rtol=0, atol=1e-6)
