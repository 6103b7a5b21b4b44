"""Metrics of slices: those of the rows by themselves, their intervals, and the worst first."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import small_models

import tafe_tf
from tafe_tf.data.errors import DataError
from tafe_tf.insight.slices.job import evaluate_by
from tafe_tf.insight.slices.measure import measure, worst_output
from tafe_tf.insight.slices.values import Slicing, slicing_of
from tafe_tf.metrics import FunnelMetrics, hashes
from tafe_tf.metrics.bootstrap import resamples
from tafe_tf.schema import Amount, Feature, Schema, Task
from tafe_tf.training.run import Run

SCHEMA = Schema(
    name="shop",
    features=(Feature(name="item", kind="integer", size=9),),
    tasks=(Task(name="click"), Task(name="buy")),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = small_models.make_run(tmp_path_factory.mktemp("shop"), "shop")
    return tafe_tf.load(directory.path)


def drawn(count: int, seed: int = 0) -> dict[str, Any]:
    """Rows whose labels are drawn from the probabilities that are predicted."""
    rng = np.random.default_rng(seed)
    logits = np.sort(rng.normal(-1.0, 1.0, (count, 2)), axis=1)[:, ::-1]
    p = 1 / (1 + np.exp(-logits))
    uniform = rng.random(count)
    depth = (uniform[:, None] < p).sum(axis=1)
    return {
        "logits": logits.astype(np.float32),
        "depth": depth.astype(np.uint8),
        "unknown": np.zeros(count, np.uint8),
        "weight": np.ones(count, np.float32),
    }


def slicing(place: np.ndarray) -> Slicing:
    names = tuple(f"v{value}" for value in range(place.max() + 1))
    return Slicing(column="country", names=names, place=place)


@pytest.mark.slow
def test_metrics_of_a_slice_are_those_of_a_file_with_its_rows_alone(run: Run) -> None:
    columns = small_models.rows("shop", 400, seed=3)
    columns["country"] = [["DE", "FR", "PL"][i % 3] for i in range(400)]  # no feature
    table = pa.table(columns)
    found = evaluate_by(run, ["country", "hour"], table)
    assert len(found) == 3 + 24
    hours = slicing_of("hour", table["hour"])
    for one in found:
        if one.column == "country":
            inside = np.array(columns["country"]) == one.value
        else:
            inside = hours.place == hours.names.index(one.value)
        alone = run.evaluate(table.filter(pa.array(inside)))
        for name, value in one.metrics.items():
            expected = alone[name]
            is_close = value == expected or value == pytest.approx(expected or 0.0, rel=1e-9)
            assert is_close, (one.value, name)


def test_a_planted_slice_is_the_worst() -> None:
    rows = drawn(20_000)
    place = np.arange(20_000) % 20
    is_lost = (place == 7) & (rows["depth"] == 1) & (np.arange(20_000) % 40 < 20)
    rows["depth"] = np.where(is_lost, 0, rows["depth"])
    found = measure(rows, [slicing(place)], SCHEMA)
    assert found[0].value == "v7"
    assert found[0].is_beyond_noise("ctr")
    assert worst_output(found[0], SCHEMA) == "ctr"
    p = 1 / (1 + np.exp(-rows["logits"].astype(np.float64)))
    excess = p[place == 7, 0].sum() - (rows["depth"][place == 7] > 0).sum()
    assert found[0].misplaced["ctr"] == pytest.approx(excess / (rows["depth"] > 0).sum())
    assert [abs(one.misplaced["ctr"]) < found[0].misplaced["ctr"] for one in found[1:]] == [
        True
    ] * 19


def test_money_decides_where_there_is_an_amount() -> None:
    schema = dataclasses.replace(SCHEMA, amount=Amount(name="spend", column="spend"))
    rows = drawn(20_000)
    place = np.arange(20_000) % 2
    bought = rows["depth"] == 2
    rows["amount"] = np.where(bought, np.where(place == 1, 30.0, 10.0), 0.0)
    rows["amount_given"] = np.full(20_000, 10.0)
    worst, right = measure(rows, [slicing(place)], schema)
    assert (worst.value, worst_output(worst, schema)) == ("v1", "expected_amount")
    assert worst.misplaced["expected_amount"] == pytest.approx(-20.0 / 40.0, abs=0.03)
    assert right.metrics["pcoc/expected_amount"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("has_group", [False, True])
def test_intervals_are_those_of_metrics_of_drawn_rows(has_group: bool) -> None:
    rows = drawn(300)
    rows["unknown"] = np.where((rows["depth"] == 1) & (np.arange(300) % 3 == 0), 1, 0)
    rows["unknown"] = rows["unknown"].astype(np.uint8)
    schema = dataclasses.replace(
        SCHEMA, tasks=(Task(name="click"), Task(name="buy", may_be_unknown=True))
    )
    group = None
    if has_group:
        group = hashes(np.arange(300) // 5, (300,))
        rows["group"] = group
    (one,) = measure(rows, [slicing(np.zeros(300, np.int64))], schema, replicates=50)
    of_draws: dict[str, list[float]] = {}
    for counts in resamples(300, group, 50):
        for times in counts:
            metrics = FunnelMetrics(("ctr", "ctcvr"), ("cvr",), may_be_unknown=True)
            steps = np.arange(2)
            depth = rows["depth"][:, None].astype(int)
            ends = depth + rows["unknown"][:, None]
            labels = np.where(steps < depth, 1, np.where(steps < ends, -1, 0))
            metrics.update(rows["logits"], labels, sample_weight=times)
            for name, value in metrics.result().items():
                of_draws.setdefault(name, []).append(np.nan if value is None else float(value))
    for name in ("auc/ctr", "pcoc/ctr", "log_loss/ctr"):
        expected = np.nanquantile(of_draws[name], [0.025, 0.975])
        assert one.intervals[name] == pytest.approx(tuple(expected), rel=1e-5), name


def test_a_slice_of_which_no_row_knows_a_step_has_no_interval_of_it() -> None:
    click = Task(name="click", may_be_unknown=True)
    schema = dataclasses.replace(SCHEMA, tasks=(click, SCHEMA.tasks[1]))
    rows = drawn(40)
    rows["depth"] = np.where(np.arange(40) < 20, 0, rows["depth"]).astype(np.uint8)
    rows["unknown"] = np.where(np.arange(40) < 20, 2, 0).astype(np.uint8)
    found = measure(rows, [slicing(np.arange(40) // 20)], schema, replicates=20)
    (unknown,) = [one for one in found if one.value == "v0"]
    assert unknown.intervals["auc/ctr"] is None
    assert unknown.metrics["auc/ctr"] is None


def test_a_column_that_holds_lists_or_is_not_there_is_named(run: Run) -> None:
    table = pa.table(small_models.rows("shop", 20))
    rule = "^column 'tags' holds lists, by which rows cannot be divided"
    with pytest.raises(DataError, match=rule):
        evaluate_by(run, ["tags"], table)
    with pytest.raises(DataError, match="nowhere"):
        evaluate_by(run, ["nowhere"], table)
