"""A dotted name reads a part of a map, a struct or a list of structs, in files and in memory."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_files import texts

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.in_memory import ArrowRows, to_arrow
from tafe_tf.data.formats.nested import column_at, parts_to_read, type_at
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.spelling.plain import is_list
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="nested",
    features=(
        Feature(
            name="interests",
            kind="vocabulary",
            column="interests.key",
            max_length=2,
            weights="interests.value",
        ),
        Feature(name="city", kind="vocabulary", column="user.home.city"),
        Feature(name="seen", kind="vocabulary", dtype="int64", column="seen.id", max_length=2),
        Feature(name="flat", kind="vocabulary", column="a.b"),
    ),
    tasks=(Task(name="click", column="label.click"), Task(name="buy", column="label.buy")),
)
ROWS: list[dict[str, Any]] = [
    {"interests": [("golf", 0.5), ("chess", 2.0)], "seen": [{"id": 1, "at": 0}], "city": "Rome"},
    {"interests": None, "seen": None, "city": None},
    {"interests": [], "seen": [], "city": "Oslo"},
    {"interests": [("go", 1.0)], "seen": [{"id": 3, "at": 0}, None], "city": "Bonn"},
] * 3
MAP = pa.map_(pa.string(), pa.float64())
EVENT = pa.struct([("id", pa.int64()), ("at", pa.int64())])


def table() -> pa.Table:
    users = [row["city"] and {"age": 1, "home": {"city": row["city"]}} for row in ROWS]
    count = len(ROWS)
    return pa.table(
        {
            "interests": pa.array([row["interests"] for row in ROWS], MAP),
            "user": pa.array(users),
            "seen": pa.array([row["seen"] for row in ROWS], pa.list_(EVENT)),
            "a.b": pa.array([f"x{number}" for number in range(count)]),
            "a": pa.array([{"b": "never read"}] * count),
            "label": pa.array([{"click": 1, "buy": 0}] * count),
        }
    )


def sources(tmp_path: pathlib.Path) -> list[Any]:
    """The rows as a file of several row groups, in memory, and in memory of several chunks."""
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path, row_group_size=5)
    in_chunks = pa.concat_tables([table().slice(0, 5), table().slice(5)])
    return [str(path), ArrowRows("rows", to_arrow(table(), "rows")), ArrowRows("rows", in_chunks)]


@pytest.mark.parametrize("start", [0, 1, 5, 6])
@pytest.mark.parametrize("block_rows", [1, 3, 4, 100])
def test_parts_of_columns_are_columns(tmp_path: pathlib.Path, start: int, block_rows: int) -> None:
    for source in sources(tmp_path):
        blocks = list(
            read_blocks(
                [source], SCHEMA, bad_rows=BadRows(), block_rows=block_rows, start_row=start
            )
        )

        def read(name: str, blocks: Any = blocks) -> Any:
            return np.concatenate([block.columns[name] for block in blocks]).tolist()

        keys = [["golf", "chess"], ["", ""], ["", ""], ["go", ""]] * 3
        weights = [[0.5, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]] * 3
        assert texts(read("interests.key")) == keys[start:]
        assert read("interests.value") == weights[start:]
        assert read("user.home.city") == (["Rome", "", "Oslo", "Bonn"] * 3)[start:]
        assert read("seen.id") == ([[1, -1], [-1, -1], [-1, -1], [3, -1]] * 3)[start:]
        assert read("a.b") == [f"x{number}" for number in range(12)][start:]
        assert np.concatenate([block.labels for block in blocks]).tolist() == [[1, 0]] * (
            12 - start
        )


def test_only_what_is_needed_is_read(tmp_path: pathlib.Path) -> None:
    schema = table().schema
    names = ["interests.key", "interests.value", "user.home.city", "a.b"]
    assert parts_to_read(schema, names) == ["interests", "user.home.city", "a.b"]
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path)
    read = next(pq.ParquetFile(path).iter_batches(4, columns=parts_to_read(schema, names)))
    assert read.schema.field("user").type == pa.struct(
        [("home", pa.struct([("city", pa.string())]))]
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "interests.keys",
            "column 'interests.keys' reaches into column 'interests' and finds noth",
        ),
        ("user.home.street", "column 'user.home.street' reaches into column 'user' and finds"),
        ("a.b.c", "column 'a.b.c' reaches into column 'a.b' and finds nothing. Received: string"),
        ("nobody.home", "column 'nobody.home' is missing; the columns are interests, user, seen"),
        ("seen.id", "column 'seen.id' must hold one value a row. Received: list<"),
    ],
)
def test_names_that_reach_nothing(tmp_path: pathlib.Path, name: str, message: str) -> None:
    feature = Feature(name="wrong", kind="vocabulary", column=name)
    schema = Schema(name="nested", features=(feature,), tasks=SCHEMA.tasks)
    for source in sources(tmp_path)[:2]:
        with pytest.raises(DataError, match=f"{source}: {message}"):
            list(read_blocks([source], schema, bad_rows=BadRows()))


def test_a_whole_map_is_no_list(tmp_path: pathlib.Path) -> None:
    feature = Feature(name="interests", kind="vocabulary", max_length=2)
    schema = Schema(name="nested", features=(feature,), tasks=SCHEMA.tasks)
    rule = "column 'interests' must hold lists; name the part, interests.key or interests.value"
    with pytest.raises(DataError, match=rf"{rule}. Received: map<string, double"):
        list(read_blocks(sources(tmp_path)[:1], schema, bad_rows=BadRows()))


def test_a_struct_is_no_list(tmp_path: pathlib.Path) -> None:
    feature = Feature(name="wrong", kind="vocabulary", column="user.age", max_length=2)
    schema = Schema(name="nested", features=(feature,), tasks=SCHEMA.tasks)
    with pytest.raises(DataError, match=r"column 'user.age' must hold lists. Received: int64"):
        list(read_blocks(sources(tmp_path)[:1], schema, bad_rows=BadRows()))


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(EVENT),
        pa.large_list(EVENT),
        pa.list_(EVENT, 2),
        pa.list_view(EVENT),
    ],
)
def test_any_list_of_structs(kind: pa.DataType) -> None:
    events = [{"id": 1, "at": 5}, {"id": None, "at": 6}]
    values = [events, None, [*reversed(events)]]
    whole = pa.table({"events": pa.array(values, kind)})
    assert is_list(kind) and type_at(whole.schema, "events.id") == pa.list_(pa.int64())
    part = whole.slice(1)
    assert column_at(part, "events.id").to_pylist() == [None, [None, 1]]


def test_texts_are_split_where_lists_belong(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.parquet"
    feature = Feature(name="tags", kind="vocabulary", max_length=2, separator=";")
    schema = Schema(name="split", features=(feature,), tasks=(Task(name="click"), Task(name="buy")))
    for kind in (
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.dictionary(pa.int8(), pa.string()),
    ):
        tags = pa.array(["x;y", None, "", "z"]).cast(kind)
        pq.write_table(pa.table({"tags": tags, "click": [1] * 4, "buy": [0] * 4}), path)
        (block,) = read_blocks([str(path)], schema, bad_rows=BadRows())
        assert texts(block.columns["tags"].tolist()) == [["x", "y"], ["", ""], ["", ""], ["z", ""]]
