"""Labels that some rows do not know, and weights of steps, where the truth is known."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from tafe_tf.data.formats.write import write
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.schema import Schema, Task
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

FUNNEL = SyntheticFunnel(rates=(0.3, 0.15), fields=3, values=5, interaction=0.0)
ROWS = 40_000
TEST = FUNNEL.chunk(stream=1, number=0, rows=20_000)
# Of the rows, the share whose click, and whose conversion, was not logged.
UNKNOWN = (0.1, 0.5)


def with_unknown(rows: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """Rows whose labels were lost by chance."""
    lost = np.random.default_rng(3).random((len(rows["click"]), 2)) < UNKNOWN
    columns: dict[str, list[Any]] = {name: values.tolist() for name, values in rows.items()}
    for i, name in enumerate(("click", "conversion")):
        pairs = zip(columns[name], lost[:, i].tolist(), strict=True)
        columns[name] = [None if is_lost else int(value) for value, is_lost in pairs]
    return columns


def schema(*tasks: Task) -> Schema:
    of_truth = FUNNEL.schema()
    with_truth = [
        dataclasses.replace(task, truth=known.truth)
        for task, known in zip(tasks, of_truth.tasks, strict=True)
    ]
    return dataclasses.replace(of_truth, tasks=tuple(with_truth))


def trained(directory: pathlib.Path, rows: dict[str, list[Any]], schema: Schema) -> Run:
    directory.mkdir()
    path = directory / "train.parquet"
    write(path, rows)
    data = DataConfig(train=(str(path),), schema=schema)
    model = ModelConfig(name="shared_bottom", arguments={"bottom_units": [16], "tower_units": [8]})
    training = TrainingConfig(epochs=3, batch_size=256, learning_rate=0.01)
    return fit(data, directory / "run", model=model, training=training, verbose=False)


def ratios(run: Run) -> tuple[float, float]:
    """The sums of predictions over those of the true probabilities, on all rows of the test."""
    inputs = {f"field_{i}": TEST[f"field_{i}"] for i in range(FUNNEL.fields)}
    served = run.predict(inputs)
    of_click = served["ctr"].sum() / TEST["true_click"].sum()
    of_conversion = served["ctcvr"].sum() / TEST["true_conversion"].sum()
    return float(of_click), float(of_conversion)


# 12,000 clicks and 3,000 known conversions are drawn: standard errors of .9 % and 1.8 %, of which
# each interval is three, and 1.5 % for what the model does not fit.
CTR = pytest.approx(1.0, abs=0.045)
CTCVR = pytest.approx(1.0, abs=0.07)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rows = with_unknown(FUNNEL.chunk(stream=0, number=0, rows=ROWS))
    tasks = [Task(name=name, may_be_unknown=True) for name in ("click", "conversion")]
    directory = tmp_path_factory.mktemp("unknown") / "job"
    return trained(directory, rows, schema(*tasks))


def test_probabilities_are_those_of_all_rows(run: Run) -> None:
    """As zeros, half of the conversions would be lost."""
    of_click, of_conversion = ratios(run)
    assert of_click == CTR
    assert of_conversion == CTCVR


def test_the_run_says_how_many_rows_know_each_step(run: Run) -> None:
    statistics = run.directory.statistics()
    assert 0.17 * ROWS < statistics["unknown_labels"]["conversion"] < 0.21 * ROWS
    assert statistics["rate"]["conversion"] == pytest.approx(0.15, abs=0.02)
    last = run.history[-1]
    counts = [int(last[name] or 0) for name in ("rows/ctcvr", "rows/ctr", "rows")]
    assert 0 < counts[0] < counts[1] < counts[2]


def test_evaluation_is_over_the_rows_that_know(run: Run) -> None:
    found = run.evaluate(with_unknown(TEST))
    whole = run.evaluate({name: values.tolist() for name, values in TEST.items()})
    assert whole["rows/ctcvr"] == len(TEST["click"])
    assert 0 < int(found["rows/ctcvr"] or 0) < len(TEST["click"])
    assert found["auc/ctcvr"] == pytest.approx(whole["auc/ctcvr"], abs=0.02)
    assert found["pcoc/ctcvr"] == pytest.approx(whole["pcoc/ctcvr"], abs=0.1)


@pytest.mark.slow
def test_an_export_is_calibrated_on_the_rows_that_know(run: Run, tmp_path: pathlib.Path) -> None:
    version = publish(run.directory, tmp_path / "export", ExportConfig(calibration="platt"))
    assert (version / "saved_model.pb").exists()


@pytest.mark.slow
def test_what_is_known_may_depend_on_the_features(tmp_path: pathlib.Path) -> None:
    """Half of the placements log one conversion in five."""
    rows = FUNNEL.chunk(stream=0, number=0, rows=ROWS)
    columns: dict[str, list[Any]] = {name: values.tolist() for name, values in rows.items()}
    placements = np.unique(rows["field_0"], return_inverse=True)[1]
    rate = np.where(placements % 2 == 0, 0.2, 1.0)
    is_logged = np.random.default_rng(4).random(ROWS) < rate
    pairs = zip(columns["conversion"], is_logged.tolist(), strict=True)
    columns["conversion"] = [int(value) if logged else None for value, logged in pairs]
    later = Task(name="conversion", may_be_unknown=True)
    run = trained(tmp_path / "job", columns, schema(Task(name="click"), later))
    of_click, of_conversion = ratios(run)
    assert of_click == CTR
    assert of_conversion == CTCVR


def test_a_weight_column_is_the_weight_of_its_step(tmp_path: pathlib.Path) -> None:
    """Two in each row is what `weight = 2` is."""
    rows = FUNNEL.chunk(stream=0, number=0, rows=2000)
    columns: dict[str, list[Any]] = {name: values.tolist() for name, values in rows.items()}
    columns["twice"] = [2.0] * 2000
    by_column = Task(name="conversion", weight_column="twice")
    by_weight = Task(name="conversion", weight=2.0)
    runs = []
    for name, task in (("column", by_column), ("weight", by_weight)):
        runs.append(trained(tmp_path / name, columns, schema(Task(name="click"), task)))
    for one, other in zip(runs[0].model.weights, runs[1].model.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=1e-5)
