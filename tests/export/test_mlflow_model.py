"""An export as a model of MLflow: a DataFrame in, the export's answers out."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small_models

import tafe_tf
from tafe_tf.data.errors import DataError
from tafe_tf.export import mlflow_model

mlflow = pytest.importorskip("mlflow")
pd = pytest.importorskip("pandas")

LOADED = """
import sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.read_parquet(sys.argv[2])
model.predict(rows).to_parquet(sys.argv[3])
"""


@pytest.mark.slow
def test_another_process_gets_the_answers_of_the_export(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    version = exports["shop"]
    rows = pd.DataFrame(small_models.rows("shop", 50, seed=5))
    mlflow_model.save(version, tmp_path / "model", rows)
    rows.to_parquet(tmp_path / "rows.parquet")
    arguments = [str(tmp_path / name) for name in ("model", "rows.parquet", "answers.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    run = tafe_tf.load(small_models.run_of(version).path)
    expected = run.predict(rows)
    assert list(answers) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(answers[name], values, rtol=1e-5)


@pytest.mark.slow
def test_signature_example_and_index(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    rows = pd.DataFrame(small_models.rows("stories", 20, seed=5)).set_index(np.arange(100, 120))
    mlflow_model.save(exports["stories"], tmp_path / "model", rows)
    info = mlflow.models.get_model_info(str(tmp_path / "model"))
    assert info.signature.inputs.input_names() == [
        *("user", "item", "history", "hour", "history_age")
    ]
    assert info.signature.outputs.input_names() == ["ctr", "ctcvr", "cvr"]
    example = mlflow.models.Model.load(str(tmp_path / "model")).load_input_example(
        str(tmp_path / "model")
    )
    assert example["item"].tolist() == rows["item"].tolist()[:3]
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    scores = model.predict(rows)
    assert scores.index.tolist() == rows.index.tolist()
    assert scores.dtypes.unique().tolist() == [np.float32]
    one_by_one = pd.concat([model.predict(rows.iloc[[i]]) for i in range(3)])
    np.testing.assert_allclose(one_by_one, scores.iloc[:3], rtol=1e-5)
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"missing inputs.*hour"):
        model.predict(rows.drop(columns="hour"))


@pytest.mark.slow
def test_missing_values_and_bad_ones(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    version = exports["stories"]
    rows = pd.DataFrame(small_models.rows("stories", 5, seed=5))
    mlflow_model.save(version, tmp_path / "model", rows)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    rows["item"] = [None, "i 1", None, "i 2", "i 3"]
    rows["hour"] = [None, 3, 4, None, 5]  # floats, to pandas
    rows["history"] = [None, [], ["i 1", None], ["i 2"], ["i 3"]]
    rows["history_age"] = [None, [], [1, np.nan], [2.5], [7]]
    run = tafe_tf.load(small_models.run_of(version).path)
    expected = run.predict(rows)
    for name, values in model.predict(rows).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5)
    rows["hour"] = [1, "noon", 2, 3, 4]
    with pytest.raises(DataError, match=r"rows: row 2.*hour.*noon"):
        model.predict(rows)


def test_categories_and_no_rows(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    rows = pd.DataFrame(small_models.rows("stories", 5, seed=5))
    mlflow_model.save(exports["stories"], tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    expected = model.predict(rows)
    categories = rows.assign(item=rows["item"].astype("category"))
    pd.testing.assert_frame_equal(model.predict(categories), expected)
    nothing = model.predict(rows.head(0))
    pd.testing.assert_frame_equal(nothing, expected.head(0))
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"missing inputs.*hour"):
        model.predict(rows.head(0).drop(columns="hour"))
