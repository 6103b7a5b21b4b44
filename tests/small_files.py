"""Four rows in every format, for the tests of what formats could bend."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.schema import Feature, Schema, Task

EXTENSIONS = ("csv", "csv.gz", "csv.zst", "tsv", "parquet", "tfrecord", "tfrecord.gz")
SCHEMA = Schema(
    name="edges",
    features=(
        Feature(name="item", kind="vocabulary", dtype="int64"),
        Feature(name="price", kind="log_round"),
        Feature(name="tags", kind="vocabulary", max_length=2, weights="tag_weights"),
    ),
    tasks=(Task(name="click"), Task(name="buy")),
    time="at",
)
GOOD: dict[str, list[Any]] = {
    "item": [1, 2, 3, 4],
    "price": [1.5, 2.0, None, 4.0],
    "tags": [["x", "y"], ["z"], ["x"], ["y"]],
    "tag_weights": [[1.0, 2.0], [0.5], [1.0], [1.0]],
    "click": [1, 0, 1, 0],
    "buy": [1, 0, 0, 0],
    "at": [1, 2, 3, 4],
}


def read(path: pathlib.Path, bad_rows: BadRows | None = None, **settings: Any) -> list[Block]:
    return list(read_blocks([str(path)], SCHEMA, bad_rows=bad_rows or BadRows(), **settings))


def written(tmp_path: pathlib.Path, extension: str, **changes: Any) -> pathlib.Path:
    path = tmp_path / f"train.{extension}"
    write(path, {**GOOD, **changes})
    return path


def column(path: pathlib.Path, name: str, **settings: Any) -> list[Any]:
    values: list[Any] = []
    for block in read(path, **settings):
        if name in SCHEMA.only_time:
            assert block.time is not None
            values += block.time.astype(np.int64).tolist()
        else:
            values += block.columns[name].tolist()
    return values


def texts(rows: list[list[Any]]) -> list[list[str]]:
    return [
        [value.decode() if isinstance(value, bytes) else value for value in row] for row in rows
    ]
