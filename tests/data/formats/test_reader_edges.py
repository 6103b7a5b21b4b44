"""Values that a format could bend on the way, and files damaged in less usual ways."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from marks import all_slow_but
from small_files import EXTENSIONS, GOOD, column, read, texts, written

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import Writer

KEPT_AS_TEXT = ["9007199254740993", "3.0", "-9007199254740995", ""]  # 2^53 + 1 has no float64

TYPED: dict[str, dict[str, Any]] = {  # the first piece of a Parquet file fixes the types
    "parquet": {"tags": [["x"], [], [], []], "tag_weights": [[1.0], [], [], []]}
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_large_integers_keep_their_digits(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(tmp_path, extension, item=KEPT_AS_TEXT)
    assert column(path, "item") == [9007199254740993, 3, -9007199254740995, -1]
    path = written(tmp_path, extension, item=[np.int64(16777217)] * 4)  # 2^24 + 1 has no float32
    assert column(path, "item") == [16777217] * 4
    path = written(tmp_path, extension, item=["9007199254740993", "3.0", "1e400", "7"])
    with pytest.raises(
        BadRowError, match=r"row 3, column 'item': must be an integer. Received: b?'1e400'"
    ):
        read(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("empty", [[], None])
@pytest.mark.parametrize("count", [1, 4])
def test_empty_lists(
    tmp_path: pathlib.Path, extension: str, empty: list[Any] | None, count: int
) -> None:
    lists = {name: [empty] * count + GOOD[name][count:] for name in ("tags", "tag_weights")}
    path = written(tmp_path, extension, **lists)
    if empty is None and count == 4 and "tfrecord" in extension:  # a column that no record has
        with pytest.raises(DataError, match="column 'tags' is missing from the first 4 records"):
            read(path)
        return
    expected = [["", ""]] * count + [["x", "y"], ["z", ""], ["x", ""], ["y", ""]][count:]
    assert texts(column(path, "tags")) == expected
    assert (
        column(path, "tag_weights")
        == [[0.0, 0.0]] * count + [[1.0, 2.0], [0.5, 0.0], [1.0, 0.0], [1.0, 0.0]][count:]
    )


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_lists_that_are_empty_in_the_first_block(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    with Writer(path) as writer:
        writer.append(
            {**GOOD, "tags": [[], [], [], []], "tag_weights": [[], [], [], []]}
            | TYPED.get(extension, {})
        )
        writer.append(GOOD)
    assert texts(column(path, "tags", block_rows=4))[3:6] == [["", ""], ["x", "y"], ["z", ""]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_weights_of_an_empty_list(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(tmp_path, extension, tags=[["x", "y"], [], ["x"], ["y"]])
    rule = "must hold as many numbers as 'tags' holds values. Received: 1"
    with pytest.raises(BadRowError, match=f"row 2, column 'tag_weights': {rule}"):
        read(path)


def test_empty_lists_that_other_writers_give_a_kind(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "tfrecord")
    records = [
        tf.train.Example.FromString(text.numpy()) for text in tf.data.TFRecordDataset(str(path))
    ]
    records[0].features.feature["tags"].int64_list.value.extend([])
    records[0].features.feature["tags"].int64_list.SetInParent()
    records[0].features.feature["tag_weights"].Clear()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    assert texts(column(path, "tags"))[:2] == [["", ""], ["z", ""]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_any_start_row_reads_a_sparse_column_alike(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    with Writer(path) as writer:
        writer.append(GOOD)
        writer.append({**GOOD, "item": [None] * 4})
        writer.append({**GOOD, "item": [None] * 4})
    whole = column(path, "item", block_rows=4)
    assert whole == [1, 2, 3, 4] + [-1] * 8
    for start in (3, 4, 5, 8, 11):
        assert column(path, "item", block_rows=4, start_row=start) == whole[start:]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_columns_to_read(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(tmp_path, extension)
    assert column(path, "tag_weights", columns=["tag_weights"])[1] == [0.5, 0.0]
    for columns in (["nope"], ["at", "nope"], []):
        with pytest.raises(ValueError, match=r"columns must be some of item, .*, at. Received: \["):
            read(path, columns=columns)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_that_is_gone(tmp_path: pathlib.Path, extension: str) -> None:
    with pytest.raises(DataError, match=rf"gone.{extension}: cannot be read.*[Nn]o such file"):
        read(tmp_path / f"gone.{extension}")


@pytest.mark.parametrize(
    "extension",
    all_slow_but(
        {"csv.gz", "parquet"},
        ["csv.gz", "csv.zst", "tfrecord", "tfrecord.gz", "parquet"],
    ),
)
def test_damaged_files_raise_data_errors_only(tmp_path: pathlib.Path, extension: str) -> None:
    """Whatever byte is damaged, no other error is raised.

    Only Parquet may stay silent: its pages carry no checksum by default.
    """
    picked = np.random.default_rng(0).integers(0, 4, 2000)
    path = written(
        tmp_path, extension, **{name: [values[i] for i in picked] for name, values in GOOD.items()}
    )
    whole = path.read_bytes()
    for place in np.random.default_rng(1).integers(10, len(whole), 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(bytes(damaged))
        try:
            read(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert extension == "parquet"
    for cut in range(1, 10):
        path.write_bytes(whole[:-cut])
        with pytest.raises(DataError):
            read(path)


def test_wrong_width_does_not_hide_behind_a_later_row(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv", click=[1, 0, 7, 0])
    lines = path.read_text().split("\n")
    lines[2:2] = ["", "too,short"]  # an empty line is no row
    path.write_text("\n".join(lines))
    with pytest.raises(BadRowError, match=r"train.csv: row 2: must have 7 cells. Received: 2"):
        read(path)
    dropping = BadRows("drop")
    assert [block.row.tolist() for block in read(path, dropping)] == [[1, 3, 5]]
    assert dropping.count == 2
    reasons = [
        "row 2: must have 7 cells. Received: 2",
        "row 4, column 'click': a label must be 0 or 1. Received: '7'",
    ]
    assert dropping.report() == [f"dropped 1 rows, the first: {path}: {x}" for x in reasons]


@pytest.mark.parametrize("extension", ["csv", "csv.gz", "csv.zst"])
def test_not_utf8_names_the_row(tmp_path: pathlib.Path, extension: str) -> None:
    good = written(tmp_path, "csv", tags=[["x", "y"], ["line\nbreak"], ["MARK"], ["y"]])
    data = good.read_bytes().replace(b"MARK", b"\xff")
    path = tmp_path / f"train.{extension}"
    with pa.output_stream(path) as file:  # compresses as the ending says
        file.write(data)
    with pytest.raises(
        DataError,
        match=rf"train.{extension}: cannot be read after row 2: the next row is not UTF-8",
    ):
        read(path)


def test_a_header_without_an_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text('item,"price' + "x,\n" * 100_000)
    with pytest.raises(
        DataError, match=r"train.csv: cannot be read: field larger than field limit"
    ):
        read(path)


def test_bytes_that_are_no_text_where_a_number_belongs(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "tfrecord", item=["1", "2", "MARK", "4"])
    records = [
        text.numpy().replace(b"MARK", b"\xff\xff\xff\xff")
        for text in tf.data.TFRecordDataset(str(path))
    ]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    with pytest.raises(BadRowError, match=r"row 3, column 'item': must be an integer. Received: "):
        read(path)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("item", pa.array(["1", "NA", None, "4"]).dictionary_encode(), [1, -1, -1, 4]),
        ("item", pa.array([1, 2, None, 4]).dictionary_encode(), [1, 2, -1, 4]),
        (
            "at",
            pa.array([datetime.date(1970, 1, day) for day in (1, 2, 3, 4)]),
            [day * 86_400 * 10**9 for day in (0, 1, 2, 3)],
        ),
        ("at", pa.array([0, 1, 2, 3], pa.timestamp("us")), [0, 1000, 2000, 3000]),
    ],
)
def test_parquet_types(
    tmp_path: pathlib.Path, name: str, values: pa.Array, expected: list[Any]
) -> None:
    assert column(replaced(written(tmp_path, "parquet"), name, values), name) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "item",
            r"train.parquet: column 'item' is struct<a: int64> in this table and",
        ),
        (
            "click",
            r"train.parquet: column 'click' cannot be read as a label: .* Received: struct<",
        ),
    ],
)
def test_parquet_types_that_are_no_values(tmp_path: pathlib.Path, name: str, message: str) -> None:
    path = replaced(written(tmp_path, "parquet"), name, pa.array([{"a": 1}] * 4))
    for policy in ("raise", "drop"):
        with pytest.raises(DataError, match=message):
            read(path, BadRows(policy))


def replaced(path: pathlib.Path, name: str, values: pa.Array) -> pathlib.Path:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, values), path)
    return path


def test_hidden_and_longer_names_are_not_a_splits_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("train/a.csv", "train/.12.b.csv", "train.old.csv", ".9.train.csv", "train-.csv"):
        (tmp_path / name).write_text("")
    assert find_files(tmp_path, "train") == [
        str(tmp_path / "train-.csv"),
        str(tmp_path / "train/a.csv"),
    ]
