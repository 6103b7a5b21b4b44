"""Jobs with a history: resumed, warm-started, by trees, and drawn as unseen."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import small_models

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.formats.write import write
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.run_dir import RunDir
from tafe_tf.trees.config import TreesConfig
from tafe_tf.trees.fit import fit_trees


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("stories")
    (folder / "schema.toml").write_text(small_models.STORIES)
    write(folder / "train.parquet", small_models.rows("stories", 600))
    write(folder / "test.parquet", small_models.rows("stories", 200, seed=1))
    return folder


def trained(data: pathlib.Path, run: pathlib.Path, **settings: Any) -> Any:
    return tafe_tf.fit(
        data / "schema.toml",
        train=str(data / "train.parquet"),
        test=str(data / "test.parquet"),
        run_dir=run,
        model="shared_bottom",
        batch_size=100,
        verbose=False,
        **settings,
    )


@pytest.mark.slow
def test_a_run_goes_on_from_an_earlier_one(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first = trained(data, tmp_path / "first", epochs=2)
    again = trained(data, tmp_path / "second", epochs=1, warm_start=str(tmp_path / "first"))
    names = [variable.name for variable in first.model.variables]
    assert names == [variable.name for variable in again.model.variables]
    metrics = json.loads((tmp_path / "second" / "metrics.json").read_text())
    assert 0 < metrics["log_loss/ctr"] < 1
    rows = small_models.rows("stories", 20, seed=3)
    one = RunDir(tmp_path / "second").load_best()
    assert [v.shape for v in one.variables] == [v.shape for v in again.model.variables]
    predicted = again.predict(rows)["ctr"]
    emptied = again.predict({**rows, "history": [[]] * 20, "history_age": [[]] * 20})["ctr"]
    assert np.abs(predicted - emptied).max() > 0


def test_lists_of_other_lengths_are_told_of_tables_in_memory(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    schema = schema_toml.load(data / "schema.toml")
    rows = small_models.rows("stories", 20)
    rows["history"][4] = ["i 1", "i 2"]
    rows["history_age"][4] = [1.0]
    with pytest.raises(BadRowError, match=r"row 5, column 'history_age': must hold as many values"):
        tafe_tf.fit(schema, train=rows, run_dir=tmp_path / "run", verbose=False)


@pytest.mark.slow
def test_trees_pool_the_lists(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("lightgbm")
    fit_trees(
        DataConfig.in_directory(data),
        tmp_path / "trees",
        trees=TreesConfig(num_leaves=4, num_iterations=3),
    )
    metrics = json.loads((tmp_path / "trees" / "metrics.json").read_text())
    assert 0 < metrics["log_loss/ctr"] < 1
