"""Which rows an export takes from its run."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import small_models

from tafe_tf.export import held_out_rows
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import RunDir


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunDir:
    return small_models.make_run(tmp_path, "numbers", count=100)


def change_data(run: RunDir, **changes: object) -> None:
    """Changes what the run notes of its rows."""
    file = run.path / "data.json"
    noted = json.loads(file.read_text())
    file.write_text(json.dumps({**noted, **changes}))


def test_a_run_is_evaluated_on_test_rows_or_else_on_held_out_rows(run: RunDir) -> None:
    rows = held_out_rows.unseen(run)
    assert (rows.part, rows.name) == ("all", "test rows")
    assert pathlib.Path(rows.data.paths[0]).name == "test.parquet"
    change_data(run, test_files=[])
    rows = held_out_rows.unseen(run)
    assert (rows.part, rows.name) == ("valid", "held-out rows")
    assert pathlib.Path(rows.data.paths[0]).name == "train.parquet"


def test_predictions_are_the_models_on_held_out_rows(run: RunDir) -> None:
    model = run.load_best()
    features = run.features()
    logits, labels, weights = held_out_rows.predictions(run, model, features)
    batch = next(run.rows.held_out(100).evaluation_batches("valid"))
    assert 0 < len(logits) < 100
    np.testing.assert_allclose(logits, model(features(batch.inputs)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(labels, batch.labels)
    np.testing.assert_array_equal(weights, np.ones_like(labels))


def test_without_held_out_rows_training_rows_are_sampled(run: RunDir) -> None:
    held_out = held_out_rows.sample(run, 1000)
    change_data(run, holdout={"fraction": 0.0})
    training = held_out_rows.sample(run, 1000)
    assert len(training["item"]) == 100 and set(held_out["item"]) < set(training["item"])
    with pytest.raises(RunError, match=r"no rows were held out .*, which calibration needs"):
        held_out_rows.predictions(run, run.load_best(), run.features())


def test_the_cost_of_an_export_is_printed(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    model = run.load_best()
    change_data(run, test_files=[])
    held_out_rows.show_cost(run, lambda inputs, training: model(inputs, training=training) - 1.0)
    out = capsys.readouterr().out
    assert "held-out rows, on which calibration was fitted: trained, and as exported" in out
    (line,) = [line for line in out.splitlines() if " ctr " in line]
    auc_before, auc_after, *_, pcoc_before, pcoc_after = line.replace("│", " ").split()[1:]
    assert auc_before == auc_after and float(pcoc_after) < float(pcoc_before)
