"""Labels as people have them, against a plain reading of each row by itself."""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.label_values import label_text, stored_labels
from tafe_tf.data.blocks.to_table import to_table
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.schema import Feature, Schema, SchemaError, Task

EXTENSIONS = ("csv", "parquet", "tfrecord")
HOUR = Feature(name="hour", kind="integer", size=24)
DAY = datetime.date(2024, 2, 29)


def schema_of(*tasks: Task, **settings: Any) -> Schema:
    return Schema(name="labels", features=(HOUR,), tasks=tasks, **settings)


def read(table: pa.Table, schema: Schema, bad_rows: BadRows | None = None) -> Block:
    rows = len(table)
    table = table.append_column("hour", pa.array(np.zeros(rows, np.int64)))
    source = ArrowRows("the table", table)
    (block,) = read_blocks([source], schema, bad_rows=bad_rows or BadRows())
    return block


def labels(values: pa.Array, **settings: Any) -> list[int]:
    """What a funnel of one step reads of a column."""
    schema = schema_of(Task(name="buy", **settings))
    found = read(pa.table({"buy": values}), schema).labels
    return [int(label) for label in found[:, 0]]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False]),
        pa.array([1, 0], pa.int8()),
        pa.array([1, 0], pa.uint64()),
        pa.array([1.0, 0.0], pa.float16()),
        pa.array([1.0, 0.0], pa.float64()),
        pa.array([1.0, -0.0], pa.float32()),
        pa.array([decimal.Decimal("1.00"), decimal.Decimal("0.00")]),
        pa.array(["TRUE", "false"]),
        pa.array(["True", "False"], pa.large_string()),
        pa.array(["1", "0"], pa.string_view()),
        pa.array(["1.0", "0.00"]),
        pa.array([b"1", b"0"]),
        pa.array(["1", "0"]).dictionary_encode(),
        pa.array(["1", "0"], pa.string_view()).dictionary_encode(),
        pc.run_end_encode(pa.array([1, 0])),
    ],
    ids=lambda values: str(values.type),
)
def test_every_spelling_of_1_and_0(values: pa.Array) -> None:
    assert labels(values) == [1, 0]


@pytest.mark.parametrize("values", [[1, -1], [1.0, -1.0], ["1.0", "-1"], ["+1", "-1.0"]])
def test_minus_1_as_declared(values: list[Any]) -> None:
    assert labels(pa.array(values), negative=("-1",)) == [1, 0]
    with pytest.raises(BadRowError, match=r"row 2, column 'buy': a label must be 0 or 1; say what"):
        labels(pa.array(values))


def test_a_declared_list_replaces_the_default_of_its_side() -> None:
    assert labels(pa.array(["yes", "no"]), positive=("yes",), negative=("no", "?")) == [1, 0]
    assert labels(pa.array(["yes", "0"]), positive=("yes",)) == [1, 0]
    with pytest.raises(
        BadRowError, match=r"one of \['yes'\] \(1\) or \['0'\] \(0\).*Received: '1'"
    ):
        labels(pa.array(["yes", "1"]), positive=("yes",))
    churned = labels(pa.array([0, 1]), positive=("0",), negative=("1",))  # 0 means that it happened
    assert churned == [1, 0]
    with pytest.raises(BadRowError, match="Received: 'Yes'"):
        labels(pa.array(["Yes"]), positive=("yes",))
    with pytest.raises(SchemaError, match=r"negative must not name a value of `positive`.*\['1'\]"):
        labels(pa.array(["1"]), positive=("true",), negative=("1.0",))


def test_missing_may_be_declared() -> None:
    values = pa.array(["1", None, "", "NA", "0"])
    assert labels(values, negative=("0", "")) == [1, 0, 0, 0, 0]
    assert labels(pa.array([1.0, None, math.nan]), negative=("NA",)) == [1, 0, 0]
    with pytest.raises(BadRowError, match=r"row 2, column 'buy': is unknown: .*Received: None"):
        labels(values)


@pytest.mark.parametrize(
    "value",
    [
        DAY,
        datetime.datetime(2024, 2, 29, 12),
        datetime.timedelta(0),
        datetime.time(0),
        decimal.Decimal("0.0"),
        0,
        0.0,
        False,
        "0",
        b"\xff",
        {"amount": 1},
    ],
    ids=repr,
)
def test_present_is_1_and_missing_0(value: Any) -> None:
    assert labels(pa.array([value, None, value]), when="present") == [1, 0, 1]


def test_present_knows_the_words_for_missing() -> None:
    words = ["2024-02-29", "", "NA", "NaT", "null", "none", "0"]
    by_hand = [1, 0, 0, 0, 0, 1, 1]
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary()):
        assert labels(pa.array(words, kind), when="present") == by_hand
    assert labels(pa.array(words).dictionary_encode(), when="present") == by_hand
    assert labels(pa.array([1.5, math.nan, None, 0.0]), when="present") == [1, 0, 0, 1]
    assert labels(pa.nulls(2), when="present") == [0, 0]
    schema = schema_of(Task(name="buy", when="present"), missing=("-1.0", "never"))
    for values in ([-1, 3], [-1.0, 3.0], ["never", "NA"]):
        found = read(pa.table({"buy": pa.array(values)}), schema).labels
        assert found.tolist() == [[0], [1]]


@pytest.mark.parametrize("values", [[[1], [0]], [DAY, None], [{"a": 1}, None]])
def test_types_that_no_label_has(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"the table: column 'buy'"):
        labels(pa.array(values))


def test_a_time_needs_when() -> None:
    with pytest.raises(DataError, match=r'cannot be read as a label: .*when = "present".*date32'):
        labels(pa.array([DAY]))
    nothing_yet = pa.table({"click": [0, 0], "buy": pa.nulls(2, pa.date32())})
    found = read(nothing_yet, schema_of(Task(name="click"), Task(name="buy")))
    assert found.labels.tolist() == [[0, 0], [0, 0]]


# The order of the funnel: click, then buy with an action "cart" before it, then keep.
TASKS = (Task(name="click"), Task(name="buy", via="cart"), Task(name="keep"))
NAMES = ("click", "buy", "cart", "keep")
VALUES: list[int | None] = [0, 1, None]
EVERY_ROW = list(itertools.product(VALUES, repeat=4))


def by_hand(row: tuple[int | None, ...], order: str) -> tuple[list[int] | None, bool]:
    """The labels and the action of one row, None if it is bad, and whether it was repaired."""
    click, buy, cart, keep = row
    repaired = False
    if order == "repair":
        if keep == 1 and buy != 1:
            buy, repaired = 1, True
        if 1 in (buy, cart) and click != 1:
            click, repaired = 1, True
    if click is None:
        return None, False
    buy = 0 if buy is None and click == 0 else buy
    cart = 0 if cart is None and click == 0 else cart
    keep = 0 if keep is None and buy == 0 else keep
    if buy is None or cart is None or keep is None:
        return None, False
    if max(buy, cart) > click or keep > buy:
        return None, False
    return [click, buy, cart, keep], repaired


def columns_of(rows: list[tuple[int | None, ...]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"hour": [1] * len(rows)}
    for i, name in enumerate(NAMES):
        columns[name] = [row[i] for row in rows]
    return columns


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("order", ["", "drop", "repair"])
def test_every_row_of_a_funnel(tmp_path: pathlib.Path, extension: str, order: Any) -> None:
    path = tmp_path / f"train.{extension}"
    write(path, columns_of(EVERY_ROW))
    schema = schema_of(*TASKS, order=order)
    bad_rows = BadRows("drop")
    for _ in range(2):  # an epoch and another
        (block,) = read_blocks([str(path)], schema, bad_rows=bad_rows)
    expected = {}
    repaired = 0
    for number, row in enumerate(EVERY_ROW, start=1):
        found, was_repaired = by_hand(row, order)
        if found is not None:
            expected[number] = found
            repaired += was_repaired
    click, buy, keep = block.labels.T.tolist()
    cart = block.columns["cart"].tolist()
    received = [list(row) for row in zip(click, buy, cart, keep, strict=True)]
    assert dict(zip(block.row.tolist(), received, strict=True)) == expected
    assert bad_rows.count == len(EVERY_ROW) - len(expected)
    assert block.columns["cart"].dtype == np.int64
    noted: set[int] = set()
    for key, rows in bad_rows._rows.items():
        if key[-1] == "repaired":
            noted.update(rows)
    assert len(noted) == repaired
    assert (repaired > 0) == (order == "repair")


def test_repaired_rows_are_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    write(path, columns_of([(0, 0, 0, 1), (0, 1, 0, 0), (1, 1, 1, 1), (0, 0, 1, 0)]))
    bad_rows = BadRows()  # "raise"
    (block,) = read_blocks([str(path)], schema_of(*TASKS, order="repair"), bad_rows=bad_rows)
    assert block.labels.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert bad_rows.count == 0
    rule = "is 1 where the earlier step"
    assert sorted(bad_rows.report()) == [
        f"repaired 1 rows, the first: {path}: row 1, column 'keep': {rule} 'buy' is 0. Received: 1",
        f"repaired 1 rows, the first: {path}: row 2, column 'buy': {rule} 'click' is 0. "
        "Received: 1",
        f"repaired 1 rows, the first: {path}: row 4, column 'cart': {rule} 'click' is 0. "
        "Received: 1",
    ]
    assert bad_rows.take()[0] == 0


def test_the_schemas_order_wins_over_the_policy(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    write(path, columns_of([(0, 1, 0, 0), (1, 1, 1, 1)]))
    bad_rows = BadRows("raise")
    (block,) = read_blocks([str(path)], schema_of(*TASKS, order="drop"), bad_rows=bad_rows)
    assert block.row.tolist() == [2]
    assert bad_rows.count == 1
    (line,) = bad_rows.report()
    assert line.startswith("dropped 1 rows by the schema's `order`, the first: ")
    with pytest.raises(BadRowError, match="row 1, column 'buy': is 1 where the earlier step"):
        list(
            read_blocks([str(path)], schema_of(*TASKS, order="raise"), bad_rows=BadRows("drop")),
        )


def test_a_repaired_row_that_is_bad_otherwise_counts_as_dropped() -> None:
    table = pa.table({"click": [0, 0], "buy": [1, 1], "weight": [1.0, -1.0]})
    schema = schema_of(Task(name="click"), Task(name="buy"), order="repair", sample_weight="weight")
    bad_rows = BadRows("drop")
    block = read(table, schema, bad_rows)
    assert block.labels.tolist() == [[1, 1]]
    assert sorted(line.split(" rows")[0] for line in bad_rows.report()) == [
        "dropped 1",
        "repaired 1",
    ]


def test_a_label_that_means_nothing_is_the_only_problem_of_its_row() -> None:
    table = pa.table({"click": ["?", "0"], "buy": ["1", "0"]})
    bad_rows = BadRows("drop")
    schema = schema_of(Task(name="click"), Task(name="buy"), order="repair")
    assert read(table, schema, bad_rows).labels.tolist() == [[0, 0]]
    (line,) = bad_rows.report()
    assert line.endswith("`negative` of the task. Received: '?'")


def test_actions_are_read_like_labels() -> None:
    tasks = (Task(name="click"), Task(name="buy", via="cart"))
    table = pa.table(
        {"click": [True, False, True], "buy": ["0", None, "1"], "cart": ["True", "", "0.0"]}
    )
    block = read(table, schema_of(*tasks))
    assert block.columns["cart"].tolist() == [1, 0, 0]
    assert block.labels.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_a_step_may_have_several_actions() -> None:
    tasks = (Task(name="click"), Task(name="buy", via=("look", "cart")), Task(name="keep", via="h"))
    schema = schema_of(*tasks)
    assert (schema.actions, schema.via) == (("look", "cart", "h"), (1, 1, 2))
    assert Task(name="buy", via=["cart"]) == Task(name="buy", via="cart")  # type: ignore[arg-type]
    assert Task(name="buy", via=()) == Task(name="buy")
    table = pa.table(
        {
            "click": [1, 0, 1],
            "buy": [0, 0, 1],
            "keep": [0, 0, 1],
            "look": [1, None, 0],
            "cart": [0, None, 1],
            "h": [None, None, 1],
        }
    )
    block = read(table, schema)
    assert [block.columns[name].tolist() for name in schema.actions] == [
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 1],
    ]
    wrong = table.set_column(3, "look", pa.array([1, 1, 0]))
    with pytest.raises(BadRowError, match="row 2, column 'look': is 1 where the earlier step"):
        read(wrong, schema)


@pytest.mark.parametrize("extension", ["parquet", "tfrecord"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"when": "present"},
        {"positive": ("yes", "y"), "negative": ("no",)},
        {"negative": ("-1",)},
        {"negative": ("0", "")},
        {"positive": ("0",), "negative": ("1",)},
    ],
    ids=str,
)
def test_written_labels_are_read_by_the_same_schema(
    tmp_path: pathlib.Path, extension: str, settings: dict[str, Any]
) -> None:
    schema = schema_of(Task(name="click", **settings), Task(name="buy", **settings))
    for happened in ([[1, 1], [0, 0], [1, 0]], [[0, 0], [0, 0]]):
        expected = np.array(happened, np.uint8)
        count = len(expected)
        block = Block(
            columns={"hour": np.zeros(count, np.int64)},
            labels=expected,
            row=np.arange(count),
            file=np.zeros(count, np.int32),
            raw_rows=count,
        )
        table = to_table(block, schema)
        path = tmp_path / f"{count}.{extension}"
        with open_tables(path, table.schema) as file:
            file.append(table)
        (again,) = read_blocks([str(path)], schema, bad_rows=BadRows())
        np.testing.assert_array_equal(again.labels, expected)


def test_plain_labels_are_written_as_they_are() -> None:
    values = np.array([1, 0], np.uint8)
    assert stored_labels(values, Task(name="buy")).to_pylist() == [1, 0]


def test_text_of_numbers_that_are_no_labels() -> None:
    assert label_text("1e30") == "1e30"  # no integer of a million digits is made
    assert label_text(2**64 - 1) == "18446744073709551615"
    assert label_text(0.5) == "0.5"
    assert label_text(math.inf) == "inf"
    assert label_text("NaN") == "NaN"
    assert label_text("NaN", ("NaN",)) == ""


# What a funnel of three steps says, and what follows from it: 1, 0 or None, which is unknown.
CLOSED = {
    (1, 1, 1): (1, 1, 1),
    (0, 0, 0): (0, 0, 0),
    (None, None, None): (None, None, None),
    (1, None, None): (1, None, None),
    (1, None, 0): (1, None, 0),
    (None, None, 1): (1, 1, 1),
    (None, 1, None): (1, 1, None),
    (0, None, None): (0, 0, 0),
    (None, 0, None): (None, 0, 0),
    (1, 0, None): (1, 0, 0),
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_unknown_label_is_what_the_other_steps_say_of_it(
    extension: str, tmp_path: pathlib.Path
) -> None:
    tasks = [Task(name=name, may_be_unknown=True) for name in ("click", "cart", "buy")]
    schema = schema_of(*tasks)
    columns: list[Any] = list(zip(*CLOSED, strict=True))
    table = pa.table({task.name: pa.array(columns[i]) for i, task in enumerate(tasks)})
    block = read(table, schema)
    found = [tuple(None if x < 0 else int(x) for x in row) for row in block.labels]
    assert found == list(CLOSED.values())
    path = tmp_path / f"rows.{extension}"
    written = to_table(block, schema)
    write(path, written.to_pydict())
    (again,) = read_blocks([str(path)], schema, bad_rows=BadRows())
    np.testing.assert_array_equal(again.labels, block.labels)


@pytest.mark.parametrize("row", [(0, None, 1), (0, 1, None), (None, 0, 1)])
def test_a_contradiction_around_an_unknown_label_is_a_bad_row(row: tuple[int | None, ...]) -> None:
    schema = schema_of(*[Task(name=name, may_be_unknown=True) for name in ("click", "cart", "buy")])
    columns = {}
    for task, value in zip(schema.tasks, row, strict=True):
        columns[task.name] = pa.array([value], pa.int8())
    with pytest.raises(BadRowError, match=r"row 1, column .*is 1 where the earlier step"):
        read(pa.table(columns), schema)


def test_only_a_task_that_says_so_may_be_unknown() -> None:
    table = pa.table({"click": [1, 1], "buy": pa.array([0, None])})
    schema = schema_of(Task(name="click", may_be_unknown=True), Task(name="buy"))
    with pytest.raises(BadRowError, match=r"row 2, column 'buy': is unknown"):
        read(table, schema)
    unknown_first = pa.table({"click": pa.array([None, 1]), "buy": [0, 1]})
    assert read(unknown_first, schema).labels.tolist() == [[-1, 0], [1, 1]]


def test_an_action_is_unknown_with_the_step_before_it() -> None:
    tasks = (Task(name="click", may_be_unknown=True), Task(name="buy", via="cart"))
    table = pa.table(
        {
            "click": pa.array([None, None, 1]),
            "cart": pa.array([None, 1, 0]),
            "buy": pa.array([0, 0, 0]),
        }
    )
    block = read(table, schema_of(*tasks))
    assert block.columns["cart"].tolist() == [-1, 1, 0]
    assert block.labels.tolist() == [[-1, 0], [1, 0], [1, 0]]
