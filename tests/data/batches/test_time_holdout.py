"""The latest rows are held out by their times, of which every bit counts."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.holdout import Holdout, time_holdout
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.to_table import to_table
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.schema import Feature, Schema, Task

COUNT = 200
START = 1_700_000_000_123_456_789  # nanoseconds; consecutive ones are one float64
TIMES = (START + np.random.default_rng(0).permutation(COUNT)).tolist()
LATEST = sorted(TIMES)[round(0.9 * (COUNT - 1)) :]  # the tenth that is held out


def schema(kind: str, dtype: Any = "string") -> Schema:
    """A funnel whose time is read by no feature ("none"), or by one of a kind and dtype."""
    features = [Feature(name="item", kind="vocabulary")]
    if kind != "none":
        settings: dict[str, Any] = {"buckets": 9, "dtype": dtype} if kind == "hash" else {}
        features.append(Feature(name="when", column="at", kind=kind, **settings))
    tasks = (Task(name="click"), Task(name="buy"))
    return Schema(name="times", features=tuple(features), tasks=tasks, time="at")


def written(path: pathlib.Path, at: pa.Array) -> str:
    """A file of rows at some times, in the format of its name."""
    if pa.types.is_date(at.type) and path.suffix == ".tfrecord":
        at = at.cast(pa.string())  # the format has no dates
    table = pa.table({"item": ["a"] * len(at), "at": at, "click": [0] * len(at)})
    table = table.append_column("buy", table["click"])
    if path.suffix == ".csv":
        table.to_pandas().to_csv(path, index=False)
    else:
        with open_tables(path, table.schema) as writer:
            writer.append(table)
    return str(path)


def read(file: str, of: Schema) -> Block:
    (block,) = read_blocks([file], of, bad_rows=BadRows())
    return block


MOMENTS = pa.array(TIMES, pa.timestamp("ns"))
SPELLINGS = {
    "integers": pa.array(TIMES),
    "moments": MOMENTS,
    "zoned": MOMENTS.cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp("ns", "Asia/Tokyo")),
    "texts": MOMENTS.cast(pa.string()),
    "zoned texts": pa.array(
        pd.Series(pd.to_datetime(TIMES, utc=True)).dt.tz_convert("Asia/Tokyo").astype(str)
    ),
}


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_nanoseconds_decide(tmp_path: pathlib.Path, spelling: str, extension: str) -> None:
    of = schema("none")
    file = written(tmp_path / f"train.{extension}", SPELLINGS[spelling])
    holdout = time_holdout([file], of, 0.1, BadRows())
    assert holdout.time == LATEST[0] and isinstance(holdout.time, int)
    noted = json.loads(json.dumps({"fraction": holdout.fraction, "time": holdout.time}))
    mask = Holdout(**noted).mask(read(file, of))
    assert [time for time, held in zip(TIMES, mask, strict=True) if held] == [
        time for time in TIMES if time >= LATEST[0]
    ]
    for shard in ("shard.parquet", "shard.tfrecord"):
        table = to_table(read(file, of), of)
        with open_tables(tmp_path / shard, table.schema) as writer:
            writer.append(table)
        again = Holdout(**noted).mask(read(str(tmp_path / shard), of))
        np.testing.assert_array_equal(again, mask)


@pytest.mark.parametrize(
    ("at", "kind", "dtype", "expected"),
    [
        (MOMENTS.cast(pa.timestamp("s"), safe=False), "hash", "int64", 1_700_000_000),
        (MOMENTS, "log_round", "float32", np.float32(1_700_000_000.123456789)),
        (MOMENTS.cast(pa.string()), "hash", "string", None),
        (pa.array(TIMES), "hash", "string", None),
        (pa.array(TIMES), "hash", "int64", None),
        (pa.array([x / 2 for x in range(COUNT)]), "log_round", "float32", None),
        (MOMENTS.cast(pa.date32(), safe=False), "hash", "string", "2023-11-14"),
    ],
)
@pytest.mark.parametrize("extension", ["parquet", "tfrecord"])
def test_a_feature_of_the_time_reads_its_own_dtype(
    tmp_path: pathlib.Path, extension: str, at: pa.Array, kind: str, dtype: Any, expected: Any
) -> None:
    of = schema(kind, dtype)
    pq.write_table(pa.table({"item": ["a"] * COUNT, "at": at}), tmp_path / "raw.parquet")
    (raw,) = read_blocks(
        [str(tmp_path / "raw.parquet")], of, bad_rows=BadRows(), columns=["item", "at"]
    )
    if expected is not None:
        assert set(raw.columns["at"].tolist()) == {expected}
    first = read(written(tmp_path / f"first.{extension}", at), of)
    table = to_table(first, of)
    path = tmp_path / f"shard.{extension}"
    with open_tables(path, table.schema) as writer:
        writer.append(table)
    second = read(str(path), of)
    for block in (first, second):
        assert block.time is not None and raw.time is not None
        assert block.time.dtype == raw.time.dtype
        np.testing.assert_array_equal(block.time, raw.time)
        found = [x.decode() if isinstance(x, bytes) else x for x in block.columns["at"].tolist()]
        assert found == raw.columns["at"].tolist()


def test_times_of_two_kinds_are_not_compared(tmp_path: pathlib.Path) -> None:
    files = [
        written(tmp_path / "train-0.parquet", pa.array(TIMES)),
        written(tmp_path / "train-1.parquet", MOMENTS),
    ]
    rule = "column 'at': must be of one kind in all files, but is numbers in .*train-0"
    with pytest.raises(DataError, match=rule):
        time_holdout(files, schema("none"), 0.1, BadRows())


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (pa.array(["2024-01-01", "late"]), "'late'"),
        (pa.array(["2024-01-01", "NA"]), "'NA'"),
        (pa.array(["1", "2024-01-01"]), "'1'"),
        (pa.array([1.5, float("inf")]), "inf"),
        (pa.array([1, 2**63], pa.uint64()), "9223372036854775808"),
        (pa.array([0, 253402300799], pa.timestamp("s")), r"datetime.datetime\(9999"),
        (pa.array([1, None]), "None"),
    ],
)
def test_what_is_no_time(tmp_path: pathlib.Path, at: pa.Array, value: str) -> None:
    file = written(tmp_path / "train.parquet", at)
    place = 1 if value == "'1'" else 2
    rule = r"must be a time \(of the years 1678 to 2261\) or a finite number"
    with pytest.raises(DataError, match=rf"row {place}, column 'at': {rule}. Received: {value}"):
        read(file, schema("none"))
    with pytest.raises(DataError, match="column 'at' is bool in this table and the time in the"):
        read(written(tmp_path / "train.parquet", pa.array([True, False])), schema("none"))
