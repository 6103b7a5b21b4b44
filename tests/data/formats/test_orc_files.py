"""ORC files give what Parquet files of the same rows give; every mistake is named."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
import small_models
from scoring_jobs import job, mkdir, scores

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import count_rows, read_blocks
from tafe_tf.first_look.look import look
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.serving.batch import scoring

ROWS = 60_000
SCHEMA = Schema(
    name="x",
    features=(
        Feature(name="user", kind="hash", buckets=16),
        Feature(name="city", column="place.city", kind="vocabulary"),
        Feature(name="a_b", column="a.b", kind="vocabulary", dtype="int64"),
        Feature(
            name="tags",
            column="interests.key",
            weights="interests.value",
            kind="vocabulary",
            max_length=3,
        ),
    ),
    tasks=(Task(name="click"), Task(name="buy")),
    time="at",
)


def table() -> pa.Table:
    """Rows with structs, maps, a dotted name, times and missing values."""
    numbers = np.random.default_rng(0)
    users = [None if n == 0 else f"user {n}" for n in numbers.integers(0, 50, ROWS)]
    cities = [{"city": f"c{n}"} if n else None for n in numbers.integers(0, 9, ROWS)]
    maps = [[(f"t{k}", float(k)) for k in range(n)] for n in numbers.integers(1, 4, ROWS)]
    click = numbers.integers(0, 2, ROWS)
    return pa.table(
        {
            "user": users,
            "place": pa.array(cities, pa.struct([("city", pa.string())])),
            "a.b": pa.array(numbers.integers(0, 9, ROWS), pa.int32()),
            "interests": pa.array(maps, pa.map_(pa.string(), pa.float64())),
            "at": pa.array(numbers.integers(0, 10**9, ROWS), pa.timestamp("ms")),
            "click": click,
            "buy": click * numbers.integers(0, 2, ROWS),
            "unused": numbers.random(ROWS),
        }
    )


def read(path: pathlib.Path, schema: Schema = SCHEMA, **settings: Any) -> list[Block]:
    return list(read_blocks([str(path)], schema, bad_rows=BadRows(), **settings))


def assert_same(found: list[Block], expected: list[Block]) -> None:
    assert len(found) == len(expected) > 0
    for mine, yours in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.row, yours.row)
        np.testing.assert_array_equal(mine.labels, yours.labels)
        np.testing.assert_array_equal(mine.time, yours.time)
        for name in yours.columns:
            np.testing.assert_array_equal(mine.columns[name], yours.columns[name])


def without_dots(schema: Schema) -> Schema:
    """A schema of columns that are read one by one, since none of their names has a dot."""
    features = tuple(feature for feature in schema.features if feature.name != "a_b")
    return Schema(name="x", features=features, tasks=schema.tasks, time="at")


@pytest.mark.parametrize("compression", ["uncompressed", "zlib", "snappy", "lz4", "zstd"])
def test_many_stripes_are_the_rows_of_parquet(tmp_path: pathlib.Path, compression: str) -> None:
    path = tmp_path / "a.orc"
    orc.write_table(table(), path, compression=compression, stripe_size=1 << 16, batch_size=1024)
    assert orc.ORCFile(path).nstripes > 3
    pq.write_table(table(), tmp_path / "a.parquet")
    for schema in (SCHEMA, without_dots(SCHEMA)):
        expected = read(tmp_path / "a.parquet", schema, block_rows=7000)
        assert_same(read(path, schema, block_rows=7000), expected)
        later = read(tmp_path / "a.parquet", schema, block_rows=7000, start_row=30_001)
        assert_same(read(path, schema, block_rows=7000, start_row=30_001), later)
    expected = read(tmp_path / "a.parquet")
    assert_same(read(path), expected)
    assert_same(list(read_blocks([f"file://{path}"], SCHEMA, bad_rows=BadRows())), expected)


def test_what_is_wrong_with_a_file_is_said(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.orc"
    orc.write_table(table().drop_columns(["user"]), path, stripe_size=1 << 16, batch_size=1024)
    with pytest.raises(DataError, match=r"a.orc: column 'user' is missing; the columns are"):
        read(path)
    orc.write_table(table(), path, stripe_size=1 << 16, batch_size=1024)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^\S*a.orc: cannot be read after row 0: "):
        read(path)
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 20_000] = bytes(20_000)
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match=r"^\S*a.orc: cannot be read after row \d+: "):
        read(path, block_rows=1000)
    orc.write_table(table().slice(0, 0), path)
    with pytest.raises(DataError, match="holds no rows"):
        read(path)


def test_a_folder_of_spark_is_found_by_ending_or_first_bytes(tmp_path: pathlib.Path) -> None:
    day = tmp_path / "log" / "dt=2026-11-18"
    day.mkdir(parents=True)
    orc.write_table(table(), day / "part-00000.snappy.orc", compression="snappy")
    orc.write_table(table(), day / "000000_0")
    (day / "_SUCCESS").touch()
    assert len(find_sources(str(tmp_path / "log"))) == 1
    files = find_sources(str(tmp_path / "log"), "orc")
    assert [pathlib.Path(path).name for path in files] == ["000000_0", "part-00000.snappy.orc"]
    one, other = (read(pathlib.Path(path)) for path in files)
    assert_same(one, other)
    assert count_rows(files[0]) is None  # a stripe does not tell its rows


@pytest.mark.slow
def test_looking_and_scoring_take_it(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    rows = small_models.rows("shop", 500)
    folder = mkdir(tmp_path / "in")
    orc.write_table(pa.table(dict(rows)), folder / "train.orc")
    pq.write_table(pa.table(dict(rows)), mkdir(tmp_path / "parquet") / "train.parquet")
    found, expected = look(folder), look(tmp_path / "parquet")
    assert found.rows == expected.rows == {"train": 500}
    untyped = [dataclasses.replace(column, type="") for column in found.columns]
    assert untyped == [dataclasses.replace(column, type="") for column in expected.columns]
    assert len(found.columns) > 3
    of_orc = job(exports["shop"], folder / "train.orc", output="of_orc")
    of_parquet = job(exports["shop"], tmp_path / "parquet" / "train.parquet", output="of_parquet")
    scoring.run(of_orc)
    scoring.run(of_parquet)
    assert scores(of_orc) == scores(of_parquet)
