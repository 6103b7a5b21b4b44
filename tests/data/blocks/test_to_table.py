"""Blocks as tables, and as the files that are read as the same blocks."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.to_table import not_text, to_table
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.schema import Feature, Schema, Task

# Two features read `tags` and two `shared`: four lists that must stay as long as each other.
LISTS: dict[str, Any] = {"kind": "hash", "buckets": 64, "max_length": 3}
SCHEMA = Schema(
    name="lists",
    features=(
        Feature(name="city", kind="hash", buckets=5),
        Feature(name="item", kind="vocabulary", dtype="int64"),
        Feature(name="price", kind="log_round"),
        Feature(name="first", column="tags", weights="own", **LISTS),
        Feature(name="second", column="tags", weights="shared", **LISTS),
        Feature(name="third", column="ids", dtype="int64", weights="shared", **LISTS),
        Feature(name="prices", kind="log_round", max_length=2),
    ),
    tasks=(Task(name="click", truth="true_click"), Task(name="buy", via="cart")),
    sample_weight="weight",
    group="user",
    time="at",
)


def random_rows(seed: int, count: int, missing: float) -> dict[str, list[Any]]:
    """Rows of all kinds, whose values are missing with some probability, inside lists too."""
    rng = np.random.default_rng(seed)

    def some(values: list[Any], absent: Any) -> list[Any]:
        return [absent if rng.random() < missing else value for value in values]

    lengths = rng.integers(0, 5, count).tolist()
    columns: dict[str, list[Any]] = {
        "city": some([f"Kö|ln {i}" for i in range(count)], None),
        "item": some(rng.integers(-(2**60), 2**60, count).tolist(), None),
        "price": some(rng.lognormal(0, 5, count).tolist(), None),
        "tags": [some([f"東{i}" for i in range(n)], "") for n in lengths],
        "own": [some(rng.normal(size=n).tolist(), 0.0) for n in lengths],
        "shared": [some(rng.normal(size=n).tolist(), 0.0) for n in lengths],
        "ids": [some(rng.integers(0, 9, n).tolist(), -1) for n in lengths],
        "prices": [
            some(rng.normal(size=n).tolist(), math.nan) for n in rng.integers(0, 4, count).tolist()
        ],
        "true_click": rng.random(count).tolist(),
        "weight": rng.random(count).tolist(),
        "user": some([f"u{i}" for i in range(count)], None),
        "at": times(rng, seed, count),
        "cart": [0, 1] * (count // 2),
        "click": [0, 1] * (count // 2),
        "buy": [0, 0] * (count // 2),
    }
    return columns


def times(rng: np.random.Generator, seed: int, count: int) -> list[Any]:
    """Fractions, integers of 62 bits, or moments as texts with nine digits of a second."""
    if seed % 3 == 0:
        return (1.7e9 + rng.random(count)).tolist()  # type: ignore[no-any-return]
    large = rng.integers(10**18, 2 * 10**18, count)
    if seed % 3 == 1:
        return large.tolist()  # type: ignore[no-any-return]
    return np.datetime_as_string(large.view("M8[ns]")).tolist()  # type: ignore[no-any-return]


def read(path: pathlib.Path) -> Block:
    (block,) = read_blocks([str(path)], SCHEMA, bad_rows=BadRows())
    return block


def plain(block: Block) -> dict[str, Any]:
    """All columns as Python values that can be compared, texts as `str`."""

    def value(item: Any) -> Any:
        if isinstance(item, list):
            return [value(x) for x in item]
        return item.decode() if isinstance(item, bytes) else "NaN" if item != item else item

    columns = {
        name: (str(array.dtype), value(array.tolist())) for name, array in block.columns.items()
    }
    assert block.time is not None
    columns["time"] = (str(block.time.dtype), block.time.tolist())
    return {**columns, "labels": block.labels.tolist()}


@pytest.mark.parametrize("missing", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("extension", ["parquet", "tfrecord.gz"])
def test_a_table_is_read_as_the_block_it_was(
    tmp_path: pathlib.Path, extension: str, missing: float
) -> None:
    for seed in range(5):
        write(tmp_path / "source.parquet", random_rows(seed, 40, missing))
        block = read(tmp_path / "source.parquet")
        table = to_table(block, SCHEMA)
        assert table.column_names == [*(c.name for c in SCHEMA.columns), "click", "buy"]
        path = tmp_path / f"shard.{extension}"
        with open_tables(path, table.schema) as writer:
            writer.append(table.slice(0, 7))
            writer.append(table.slice(7))
        assert plain(read(path)) == plain(block)


def test_lists_end_with_their_last_value(tmp_path: pathlib.Path) -> None:
    columns = random_rows(0, 2, 0.0) | {
        "tags": [["a", "", ""], ["", "b", ""]],
        "own": [[0.0, 2.0, 0.0], [1.0, 1.0, 0.0]],
        "shared": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
        "ids": [[-1, -1, -1], [7, -1, -1]],
        "prices": [[1.0, math.nan], []],
    }
    write(tmp_path / "source.parquet", columns)
    table = to_table(read(tmp_path / "source.parquet"), SCHEMA).to_pydict()
    assert table["tags"] == [
        ["a", ""],
        ["", "b"],
    ]  # as long as `own`, whose second weight is the last that counts
    assert table["ids"] == [[-1, -1], [7, -1]]  # as long as `shared`, which is as long as `tags`
    assert table["prices"] == [[1.0], []]


def test_texts_that_are_no_utf8_are_named(tmp_path: pathlib.Path) -> None:
    columns = random_rows(0, 4, 0.0)
    columns |= {"city": [b"a", b"\xff", b"b", b"c"], "tags": [[], [], [b"x", b"\xfe"], []]}
    columns |= {name: [[], [], [1, 2], []] for name in ("own", "shared", "ids")}
    lists = pa.list_(pa.binary())
    with open_tables(tmp_path / "a.parquet", pa.table(columns).schema) as writer:
        writer.append(pa.table(columns | {"tags": pa.array(columns["tags"], lists)}))
    block = read(tmp_path / "a.parquet")
    with pytest.raises(pa.ArrowInvalid, match="utf8"):
        to_table(block, SCHEMA)
    found = [(p.index, p.column, p.rule, p.value) for p in not_text(block, SCHEMA)]
    assert found == [
        (1, "city", "must be UTF-8 text", b"\xff"),
        (2, "tags", "must be UTF-8 text", b"\xfe"),
    ]
