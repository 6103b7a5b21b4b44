"""Amounts as they are read, against a plain reading of each row by itself."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.maturity import without_immature
from tafe_tf.data.blocks.to_table import to_table
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.features.row_counts import RowCounts
from tafe_tf.schema import Amount, Feature, Schema, Task

HOUR = Feature(name="hour", kind="integer", size=24)
ROWS: dict[str, list[Any]] = {
    "hour": [1, 2, 3, 4, 5],
    "click": [0, 1, 1, 1, 1],
    "buy": [0, 0, 1, 1, None],
    "spend": [None, 7.5, 9.99, 120, 3.0],
}


def schema(may_be_unknown: bool = False, **settings: Any) -> Schema:
    amount = Amount(name="spend", may_be_unknown=may_be_unknown)
    tasks = (Task(name="click"), Task(name="buy", may_be_unknown=True))
    arguments: dict[str, Any] = {"features": (HOUR,), "tasks": tasks, "amount": amount}
    return Schema(name="shop", **{**arguments, **settings})


def read(table: pa.Table, schema: Schema, bad_rows: BadRows | None = None) -> Block:
    (block,) = read_blocks([ArrowRows("shop", table)], schema, bad_rows=bad_rows or BadRows())
    return block


def table(**changed: Any) -> pa.Table:
    return pa.table({**ROWS, **changed})


def test_an_amount_is_read_where_the_last_step_happened() -> None:
    block = read(table(), schema())
    np.testing.assert_array_equal(block.columns["spend"], [0.0, 0.0, 9.99, 120.0, math.nan])
    assert block.labels.shape == (5, 2)


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
def test_every_format_has_the_same_amounts(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"rows.{extension}"
    write(path, {**ROWS, "spend": [0.0, 7.5, 9.99, 120.0, 3.0], "buy": [0, 0, 1, 1, 1]})
    (block,) = read_blocks([str(path)], schema(), bad_rows=BadRows())
    atol = 1e-6 if extension == "tfrecord" else 0  # which holds float32
    expected = [0.0, 0.0, 9.99, 120.0, 3.0]
    np.testing.assert_allclose(block.columns["spend"], expected, rtol=atol, atol=0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, 1e39, 1e-40])
def test_a_conversion_needs_an_amount_above_0(value: float) -> None:
    rows = table(spend=[None, 7.5, value, 120.0, 3.0])
    rule = "an amount must be a finite number above 0 where the last step happened"
    with pytest.raises(BadRowError, match=rf"^shop: row 3, column 'spend': {rule}"):
        read(rows, schema())
    bad_rows = BadRows("drop")
    assert read(rows, schema(), bad_rows).row.tolist() == [1, 2, 4, 5]
    assert bad_rows.count == 1


def test_a_missing_amount_of_a_conversion_is_bad_or_unknown() -> None:
    rows = table(spend=[None, 7.5, None, 120.0, 3.0])
    with pytest.raises(BadRowError, match="row 3, column 'spend': is missing where the last step"):
        read(rows, schema())
    found = read(rows, schema(may_be_unknown=True)).columns["spend"]
    np.testing.assert_array_equal(found, [0.0, 0.0, math.nan, 120.0, math.nan])


def test_a_text_that_is_no_number_is_bad_in_any_row() -> None:
    rows = table(spend=["a lot", "7.5", "9.99", "120", "3"])
    with pytest.raises(BadRowError, match=r"row 1, column 'spend'.*Received: 'a lot'"):
        read(rows, schema())


def test_a_negative_amount_without_a_conversion_is_not_read() -> None:
    rows = table(spend=[-5.0, -1.0, 9.99, 120.0, 3.0])
    assert read(rows, schema()).columns["spend"][:2].tolist() == [0.0, 0.0]


def test_a_block_as_a_table_is_read_again() -> None:
    own = schema(may_be_unknown=True)
    block = read(table(spend=[None, 7.5, None, 120.0, 3.0]), own)
    again = read(to_table(block, own), own)
    np.testing.assert_array_equal(again.columns["spend"], block.columns["spend"])
    np.testing.assert_array_equal(again.labels, block.labels)


def test_an_immature_conversion_has_no_known_amount() -> None:
    tasks = (Task(name="click"), Task(name="buy", matures_after="1d"))
    own = schema(tasks=tasks, time="at")
    rows = table(buy=[0, 0, 1, 1, 1], at=[0, 0, 0, 1_000_000, 0])
    block = without_immature(read(rows, own), own, now=1_000_000)
    assert block.labels[:, 1].tolist() == [0, 0, 1, -1, 1]
    np.testing.assert_array_equal(block.columns["spend"], [0.0, 0.0, 9.99, math.nan, 3.0])


def test_training_takes_the_amount_behind_labels_and_actions() -> None:
    tasks = (Task(name="click"), Task(name="buy", via="cart", weight_column="w"))
    own = schema(may_be_unknown=True, tasks=tasks)
    rows = table(
        buy=[0, 0, 1, 1, 1],
        cart=[0, 1, 1, 0, 0],
        w=[1.0, 2.0, 3.0, 4.0, 5.0],
        spend=[None, 7.5, 9.99, None, 3.0],
    )
    data = FunnelData(files=[ArrowRows("shop", rows)], schema=own, batch_size=5)
    (batch,) = data.training_batches(Position(), [0])
    order = np.argsort(batch.row)
    expected = [0.0, 0.0, np.float32(9.99), 0.0, 3.0]
    assert batch.labels[order, -1].tolist() == expected
    assert batch.labels.shape == (5, 4) and batch.labels.dtype == np.float32
    assert batch.weight[order, -1].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]  # the last step's
    (seen,) = data.evaluation_batches("all")
    assert seen.labels.shape == seen.weight.shape == (5, 2)
    np.testing.assert_array_equal(seen.extra["spend"], [0.0, 0.0, 9.99, math.nan, 3.0])


def test_amounts_are_counted_alike_in_any_order_and_place() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.lognormal(3.0, 2.0, 999)
    own = schema(tasks=(Task(name="click"), Task(name="buy")))
    ones = np.ones(999, np.int64)
    whole = pa.table({"hour": ones, "click": ones, "buy": ones, "spend": amounts})
    together = RowCounts(own)
    together.add(read(whole, own))
    apart = RowCounts(own)
    for start in (600, 0, 300):
        part = RowCounts(own)
        end = {0: 300, 300: 600, 600: 999}[start]
        part.add(read(whole.slice(start, end - start), own))
        apart.add_json(part.as_json())
    assert apart.amounts.start() == together.amounts.start()
    count, mean, deviation = together.amounts.start()
    assert count == 999
    assert mean == pytest.approx(np.log(amounts).mean(), abs=1e-6)
    assert deviation == pytest.approx(np.log(amounts).std(), abs=1e-5)
