"""Columns with any names, from training to the served answer."""

from __future__ import annotations

import json
import pathlib
import urllib.request
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scoring_jobs import job, mkdir, scores
from servers import LocalServer

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import prepare_shards
from tafe_tf.export.first_rows import score_first_rows
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.client import Client
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

pytestmark = pytest.mark.slow  # training, exporting and serving with them takes a minute

NAMES = [
    "Item No",
    "größe",
    "商品",
    "1st",
    "_private",
    "a/b",
    "a.b",  # TensorFlow makes a_b of this and of the one before
    "a:b",
    "class",
    "None",
    "self",
    "ctr",  # an output and a signature
    "examples",
    "inputs",
    "User",
    "user",
    'say "hi"',
    "it's",
    "a,b",
    "a\nb",
    "a\tb",
    " lead",
    "<b>",
    "\\",
    "%s{0}",
    "x" * 300,
]
LABELS = ("did click?", 'bought, "really"')
KEY = "request id, 1"
COUNT = 240


def feature(i: int, name: str) -> Feature:
    """Fields of every kind in turn; the last column of all holds lists with weights."""
    kinds: list[dict[str, Any]] = [
        {"kind": "vocabulary"},
        {"kind": "hash", "buckets": 20},
        {"kind": "integer", "size": 9},
        {"kind": "log_round"},
        {"kind": "vocabulary", "dtype": "int64", "side": "user"},
    ]
    return Feature(name=f"f{i}", column=name, **kinds[i % 5])


LISTS = Feature(
    name="tags", column="T|ags", kind="vocabulary", max_length=3, weights="T|weights", separator=";"
)
SCHEMA = Schema(
    name="nasty",
    features=(*(feature(i, name) for i, name in enumerate(NAMES)), LISTS),
    tasks=(Task(name="click", column=LABELS[0]), Task(name="buy", column=LABELS[1])),
    group="größe",
)


def rows(seed: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {}
    for i, name in enumerate(NAMES):
        numbers = rng.integers(0, 9, COUNT).tolist()
        columns[name] = [f"v {one}" for one in numbers] if i % 5 < 2 else numbers
    lengths = rng.integers(1, 4, COUNT)
    columns["T|ags"] = [[f"t{rng.integers(5)}" for _ in range(n)] for n in lengths]
    columns["T|weights"] = [[0.5] * n for n in lengths]
    clicks = rng.integers(0, 2, COUNT)
    columns[LABELS[0]] = clicks.tolist()
    columns[LABELS[1]] = (clicks * rng.integers(0, 2, COUNT)).tolist()
    columns[KEY] = [f"r{i}" for i in range(COUNT)]
    return columns


def write_csv(path: pathlib.Path, columns: dict[str, list[Any]]) -> pathlib.Path:
    """By pandas, whose quoting is not ours."""
    cells = dict(columns)
    for name in ("T|ags", "T|weights"):
        cells[name] = [";".join(map(str, row)) for row in columns[name]]
    pd.DataFrame(cells).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("nasty")
    train = write_csv(root / "train.csv", rows(0))
    test = write_csv(root / "test.csv", rows(1))
    sizes = {"embedding_dim": 4, "num_inducing": 4, "num_layers": 1, "embedding_stddev": 0.5}
    run = fit(
        DataConfig(schema=SCHEMA, train=(str(train),), test=(str(test),)),
        root / "run",
        model=ModelConfig(arguments=sizes),
        training=TrainingConfig(epochs=1, batch_size=50, learning_rate=0.02),
        verbose=False,
    )
    return publish(run.directory, root / "models", ExportConfig(version=1))


@pytest.fixture(scope="module")
def expected(export: pathlib.Path) -> dict[str, np.ndarray]:
    """What the session loader answers for the rows of seed 2, by the names of inputs."""
    columns = rows(2)
    inputs: dict[str, Any] = {}
    for column in SCHEMA.inputs:
        values: list[Any] = columns[column.name]
        if column.max_length:
            absent = "" if column.dtype == "string" else np.nan
            values = [[*row, *[absent] * (3 - len(row))] for row in values]
        inputs[column.input] = values
    model = SessionModel(export)
    answer = model(inputs)
    model.close()
    return answer


def test_only_what_no_input_can_be_called_has_another_name() -> None:
    changed = {column.name: column.input for column in SCHEMA.inputs if column.input != column.name}
    clean = {"1st", "a/b", "ctr", "examples", "inputs", "User"}
    assert set(changed) == set(NAMES) - clean | {"T|ags", "T|weights"}
    assert (changed["Item No"], changed["user"]) == ("f0", "f15")
    assert (changed["T|ags"], changed["T|weights"]) == ("tags", "tags_weights")


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
def test_batch_scoring_reads_the_columns_by_their_own_names(
    export: pathlib.Path, expected: dict[str, np.ndarray], tmp_path: pathlib.Path, extension: str
) -> None:
    path = mkdir(tmp_path / "in") / f"a.{extension}"
    if extension == "csv":
        write_csv(path, rows(2))
    else:
        write(path, rows(2))
    task = job(export, path, keys=(KEY, "商品"))
    scoring.run(task)
    found = scores(task)
    keys = [key.decode() if isinstance(key, bytes) else key for key in found[KEY]]
    assert keys == rows(2)[KEY]
    np.testing.assert_allclose(found["ctcvr"], expected["ctcvr"], rtol=0, atol=1e-6)
    table = score_first_rows(export.parent, path, rows=3)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["cvr"] == [f"{value:.4f}" for value in expected["cvr"][:3]]


def test_beam_scores_the_same(export: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("apache_beam")
    from tafe_tf.engines.beam import BeamDriver

    path = write_csv(mkdir(tmp_path / "in") / "a.csv", rows(2))
    local = job(export, path, keys=(KEY,), output="local")
    scoring.run(local)
    task = job(export, path, keys=(KEY,), output="beam")
    scoring.run(task, BeamDriver(["--runner=DirectRunner"]))
    assert scores(task) == scores(local)


def test_servers_take_columns_and_inputs(
    export: pathlib.Path, expected: dict[str, np.ndarray], tmp_path: pathlib.Path
) -> None:
    columns = rows(2)
    by_input = {column.input: columns[column.name] for column in SCHEMA.inputs}
    flags = (f"--model_base_path={export.parent}", "--model_name=nasty")
    with (
        LocalServer(tmp_path / "log", *flags) as server,
        Client(server.grpc, "nasty", timeout=60.0) as client,
    ):
        table = pa.table({name: columns[name] for name in columns})
        frame = pd.DataFrame(columns)
        for given in (columns, by_input, table, frame):
            answer = client.predict(given)
            for name, values in expected.items():
                np.testing.assert_allclose(answer[name], values, rtol=0, atol=1e-6)
        assert list(client.seen(columns).unseen) == [one.name for one in SCHEMA.features]
        user = {column: columns[column][:1] for column in SCHEMA.user_inputs}
        ranked = client.predict({**columns, **user}, signature="rank")
        tiled = {column: values * COUNT for column, values in user.items()}
        every_row = client.predict({**columns, **tiled})
        np.testing.assert_allclose(ranked["ctcvr"], every_row["ctcvr"], rtol=0, atol=1e-6)
        first = {}
        for column in SCHEMA.inputs:
            first[column.input] = columns[column.name][0]
        body = json.dumps({"instances": [first]}).encode()
        url = f"http://{server.rest}/v1/models/nasty:predict"
        with urllib.request.urlopen(url, body, timeout=60) as response:
            (prediction,) = json.load(response)["predictions"]
        for name, values in expected.items():
            assert prediction[name] == pytest.approx(values[0], abs=1e-6)


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_shards_hold_the_columns_by_their_own_names(tmp_path: pathlib.Path, format: str) -> None:
    text = schema_toml.dump(SCHEMA)
    file = write_csv(mkdir(tmp_path / "data") / "train.csv", rows(0))
    settings: dict[str, Any] = {"shard_rows": 100, "format": format}
    prepare_shards(
        ShardJob(
            data_dir=str(file.parent),
            schema=SCHEMA,
            schema_text=text,
            output=str(tmp_path / "out"),
            **settings,
        ),
        LocalEngine(),
    )
    assert schema_toml.load(tmp_path / "out" / "schema.toml") == SCHEMA
    shards = find_files(tmp_path / "out", "train")
    before = list(read_blocks([str(file)], SCHEMA, bad_rows=BadRows()))
    after = list(read_blocks(shards, SCHEMA, bad_rows=BadRows()))
    assert len(shards) == len(after) == 3
    for column in SCHEMA.columns:
        joined = np.concatenate([block.columns[column.name] for block in after])
        found = [one.decode() if isinstance(one, bytes) else one for one in joined.ravel()]
        assert list(map(str, found)) == list(map(str, before[0].columns[column.name].ravel()))
