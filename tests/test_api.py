"""The Python API: what a user of Keras and pandas expects."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tomllib
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import small_models
from scipy.special import logit

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.errors import RunError

SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 0.02,
    "embedding_dim": 4,
    "num_inducing": 4,
    "num_layers": 1,
    "verbose": False,
}
TRAIN = small_models.rows("shop", 600)
TEST = small_models.rows("shop", 300, seed=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The rows as files, and their schema."""
    directory = tmp_path_factory.mktemp("files")
    write(directory / "train.parquet", TRAIN)
    write(directory / "test.parquet", TEST)
    (directory / "schema.toml").write_text(small_models.SCHEMAS["shop"])
    return directory


@pytest.fixture(scope="module")
def run(files: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tafe_tf.Run:
    """A run on the files."""
    return tafe_tf.fit(
        files / "schema.toml",
        train=files / "train.parquet",
        test=[files / "test.parquet"],
        run_dir=tmp_path_factory.mktemp("run"),
        **SETTINGS,
    )


def weights(run: tafe_tf.Run) -> list[np.ndarray]:
    return [np.array(variable) for variable in run.model.variables]


def assert_same(a: tafe_tf.Run, b: tafe_tf.Run) -> None:
    """Both have the same weights, to the bit."""
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


def files_of(run: tafe_tf.Run) -> Any:
    data = run.directory.rows.test()
    assert data is not None
    return data.files


def without_seconds(metrics: Any) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "seconds"}


def raw_columns(run: tafe_tf.Run) -> dict[str, np.ndarray]:
    """The test rows as a request has them."""
    (block,) = read_blocks(files_of(run), run.schema, bad_rows=BadRows())
    return {column.name: block.columns[column.name] for column in run.schema.inputs}


def as_polars(rows: dict[str, list[object]]) -> Any:
    return pytest.importorskip("polars").DataFrame(rows, strict=False)


@pytest.mark.parametrize(
    "make",
    [pd.DataFrame, pa.table, dict, as_polars],
    ids=["pandas", "pyarrow", "dict", "polars"],
)
def test_rows_in_memory_end_as_rows_in_files(
    run: tafe_tf.Run, tmp_path: pathlib.Path, make: Any
) -> None:
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    same = tafe_tf.fit(schema, train=make(TRAIN), test=make(TEST), run_dir=tmp_path, **SETTINGS)
    assert_same(run, same)
    assert without_seconds(same.metrics) == without_seconds(run.metrics)
    assert same.schema == run.schema


def test_where_intercepts_and_gamma_start(files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A rate of 0 leaves what there was at the start; 540 of the 600 rows are 8 batches of 64."""
    asked = {"learning_rate": 0.0, "intercept_rows": 0, "start_at_rates": True, "gamma_decay": 0.25}
    run = tafe_tf.fit(
        files / "schema.toml",
        train=files / "train.parquet",
        run_dir=tmp_path,
        **{**SETTINGS, **asked},
    )
    click, buy = run.directory.statistics()["rate"].values()
    np.testing.assert_allclose(run.model.heads.bias, logit([click, buy / click]), rtol=1e-6)
    (gamma,) = run.model.schedules()
    assert gamma.decay_steps == 0.25 * 2 * 8


def test_fit_again_opens_the_finished_run(files: pathlib.Path, tmp_path: pathlib.Path) -> None:
    frame = pd.DataFrame(TRAIN)
    schema = schema_toml.parse(tomllib.loads(small_models.SCHEMAS["shop"]))
    first = tafe_tf.fit(schema, train=frame, run_dir=tmp_path, **SETTINGS)
    again = tafe_tf.fit(schema, train=frame, run_dir=tmp_path, **SETTINGS)
    assert_same(first, again)
    assert first.history == again.history
    with pytest.raises(RunError, match=r"train.parquet: holds other rows than those given"):
        tafe_tf.fit(schema, train=frame.iloc[:500], run_dir=tmp_path, **SETTINGS)
    with pytest.raises(RunError, match=r"flags.txt: .*another run.*'--epochs=1', '--epochs=2'"):
        tafe_tf.fit(schema, train=frame, run_dir=tmp_path, **{**SETTINGS, "epochs": 1})
    with pytest.raises(RunError, match=r"flags.txt: .*another run"):
        tafe_tf.fit(schema, train=files / "train.parquet", run_dir=tmp_path, **SETTINGS)


def test_predictions_are_the_exports(run: tafe_tf.Run, tmp_path: pathlib.Path) -> None:
    inputs = {name: TEST[name] for name in ("user", "item", "hour", "price", "tags", "tag_weights")}
    predicted = run.predict(inputs)  # without labels
    assert set(predicted) == {"ctr", "ctcvr", "cvr"}
    served = SessionModel(run.export(tmp_path, version=3))
    for name, values in served(raw_columns(run)).items():
        np.testing.assert_allclose(predicted[name], values, rtol=0, atol=1e-6)
    for rows in (pd.DataFrame(TEST), pa.table(TEST), files_of(run)):
        for name, values in run.predict(rows, batch_size=64).items():
            np.testing.assert_allclose(values, predicted[name], rtol=0, atol=1e-6)


def test_evaluating_the_test_rows_gives_the_runs_metrics(run: tafe_tf.Run) -> None:
    metrics = run.evaluate(pd.DataFrame(TEST))
    assert without_seconds(metrics) == pytest.approx(without_seconds(run.metrics), abs=1e-6)


def test_load_opens_a_run(run: tafe_tf.Run, tmp_path: pathlib.Path) -> None:
    loaded = tafe_tf.load(run.path)
    assert_same(run, loaded)
    assert loaded.metrics == run.metrics and loaded.history == run.history
    assert repr(loaded) == f"Run({str(run.path)!r})"
    for nothing in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="holds no trained model"):
            tafe_tf.load(nothing)


def test_the_run_directory_holds_a_keras_file(run: tafe_tf.Run) -> None:
    model = keras.saving.load_model(run.path / "model.keras")
    inputs = run.features({name: np.array(values) for name, values in raw_columns(run).items()})
    # Two graphs of the same weights round alike to some bits of a float32.
    np.testing.assert_allclose(model(inputs), run.model(inputs), rtol=1e-6, atol=1e-6)
    for saved, trained in zip(model.variables, run.model.variables, strict=True):
        np.testing.assert_array_equal(saved, trained)


def test_a_run_without_test_rows_has_no_metrics(tmp_path: pathlib.Path) -> None:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "verbose": False}
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    run = tafe_tf.fit(schema, train=TRAIN, model="esmm", run_dir=tmp_path, **settings)
    assert run.metrics is None and len(run.history) == 1
    assert run.export(tmp_path / "export", version=1).name == "1"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"epoch": 3},
            TypeError,
            r"unexpected settings epoch. Training takes .*batch_size, .*epochs",
        ),
        ({"num_experts": 3}, TypeError, r"unexpected settings num_experts. .*model 'tafe' takes"),
        ({"model": "taff"}, ValueError, r"model must be one of tafe, .* Received: 'taff'"),
        ({"epochs": 0}, ValueError, r"epochs must be 1 or more. Received: 0"),
        ({"train": 3}, DataError, r"train: "),
        ({"train": []}, DataError, r"train: must name at least one file"),
        (
            {"schema": None},
            TypeError,
            r"schema must be a Schema, the path of a TOML file or a dict",
        ),
        ({"monitor": "auc/zzz"}, ValueError, r"monitor must be 'auc', 'log_loss' or one of "),
        ({"callbacks": [print]}, TypeError, r"callbacks must be keras.callbacks.Callback objects"),
        ({"train": {"user": ["a"]}}, DataError, r"train.parquet: column '\w+' is missing"),
        ({"schema": {"name": "shop"}}, ValueError, r"schema: features must hold"),
        ({"schema": "nowhere.toml"}, FileNotFoundError, r"nowhere.toml"),
        ({"train": "nowhere.csv"}, FileNotFoundError, r"nowhere.csv: there is no such file"),
    ],
)
def test_errors(
    tmp_path: pathlib.Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    usual = {"schema": tomllib.loads(small_models.SCHEMAS["shop"]), "train": TRAIN}
    given = {**usual, "run_dir": tmp_path / "run", "verbose": False, **settings}
    with pytest.raises(error, match=message):
        tafe_tf.fit(given.pop("schema"), **given)
    if not isinstance(settings.get("train"), dict):
        assert not (tmp_path / "run").exists()  # a mistake claims no directory


def test_a_bad_value_in_a_frame_names_row_column_and_value(tmp_path: pathlib.Path) -> None:
    frame = pd.DataFrame(TRAIN)
    frame.loc[6, "click"] = 0
    frame.loc[6, "buy"] = 1
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    with pytest.raises(DataError, match=r"row 7, column 'buy': is 1 where the earlier step"):
        tafe_tf.fit(schema, train=frame, run_dir=tmp_path, verbose=False)


def test_a_mended_row_goes_on_in_the_same_directory(tmp_path: pathlib.Path) -> None:
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "model": "single_task"}
    bad = pd.DataFrame(TRAIN)
    bad.loc[6, "click"] = 2
    with pytest.raises(DataError, match=r"row 7, column 'click'"):
        tafe_tf.fit(schema, train=bad, run_dir=tmp_path, verbose=False, **settings)
    mended = pd.DataFrame(TRAIN)
    run = tafe_tf.fit(schema, train=mended, run_dir=tmp_path, verbose=False, **settings)
    assert len(run.history) == 1


def test_leaving_out_the_validation_rows_makes_another_run(tmp_path: pathlib.Path) -> None:
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "model": "single_task"}
    settings |= {"train": TRAIN, "run_dir": tmp_path, "verbose": False}
    tafe_tf.fit(schema, valid=TEST, **settings)
    with pytest.raises(RunError, match=r"flags.txt: .*'# valid=rows in memory'"):
        tafe_tf.fit(schema, **settings)


def test_fit_says_nothing_if_asked(
    run: tafe_tf.Run, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    schema = tomllib.loads(small_models.SCHEMAS["shop"])
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "model": "single_task"}
    tafe_tf.fit(schema, train=TRAIN, test=TEST, run_dir=tmp_path / "a", verbose=False, **settings)
    assert capfd.readouterr().out == ""
    tafe_tf.fit(schema, train=TRAIN, test=TEST, run_dir=tmp_path / "b", **settings)
    out = capfd.readouterr().out
    assert "epoch 1: " in out and "predicted / observed" in out


def test_importing_the_package_loads_nothing() -> None:
    code = """
import sys, time
began = time.perf_counter()
import tafe_tf
assert time.perf_counter() - began < 0.3
assert not {"tensorflow", "keras", "numpy", "pyarrow"} & set(sys.modules)
assert {"fit", "load", "Run", "Schema"} <= set(dir(tafe_tf))
try:
    tafe_tf.nothing
except AttributeError as error:
    assert "has no attribute 'nothing'" in str(error)
else:
    raise AssertionError("no error")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
