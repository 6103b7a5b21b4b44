"""The command `tafe_tf.evaluate`: slices, and predictions of each row."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_models
from absl import flags
from absl.testing import flagsaver

import tafe_tf
from tafe_tf import evaluate
from tafe_tf.training.run_dir import RunDir


@pytest.fixture(autouse=True, scope="module")
def parsed_flags() -> None:
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return small_models.make_run(tmp_path_factory.mktemp("shop"), "shop")


def test_slices_are_printed_and_kept(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    with flagsaver.flagsaver(run_dir=str(run.path), by=["hour"]):
        evaluate.evaluate()
    printed = capsys.readouterr().out
    assert "the worst of 24 slices by hour" in printed
    assert f"wrote {run.path}/slices.json: all 24 slices" in printed
    slices = json.loads((run.path / "slices.json").read_text())
    run.files.check("slices.json")
    assert run.files.is_of_these_weights("slices.json")
    run.files.begin(has_trained=True)  # as training does that goes on
    assert not run.files.is_of_these_weights("slices.json")
    assert sum(one["metrics"]["rows"] for one in slices) == 600
    assert {one["value"] for one in slices} == {str(hour) for hour in range(24)}
    assert set(slices[0]) == {"column", "value", "metrics", "intervals", "misplaced"}


def test_predictions_of_each_row_are_written_with_keys(
    run: RunDir,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "predictions.parquet"
    with flagsaver.flagsaver(run_dir=str(run.path), predictions=str(path), keys=["user", "price"]):
        evaluate.evaluate()
    assert f"wrote {path}: 600 rows" in capsys.readouterr().out
    written = pq.read_table(path)
    assert written.column_names == ["user", "price", "click", "buy", "ctr", "ctcvr", "cvr"]
    test = pq.read_table(run.path.parent / "data" / "test.parquet")
    for name in ("user", "click", "buy"):
        assert written[name].to_pylist() == test[name].to_pylist()
    expected = tafe_tf.load(run.path).predict(str(run.path.parent / "data" / "test.parquet"))
    for name, values in expected.items():
        np.testing.assert_allclose(written[name].to_numpy(), values, rtol=1e-5)


def test_a_key_that_is_written_anyhow_is_refused(run: RunDir, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "predictions.parquet"
    with (
        flagsaver.flagsaver(run_dir=str(run.path), predictions=str(path), keys=["click"]),
        pytest.raises(SystemExit) as ended,
    ):
        evaluate.main(["evaluate"])
    assert str(ended.value).endswith("click: is written in any case, and can be no key")
    assert not path.exists()
