"""Every format gives back what was written, and every mistake is named."""

from __future__ import annotations

import csv
import gzip
import os
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import Writer, write
from tafe_tf.schema import Feature, Schema, Task

EXTENSIONS = ("csv", "csv.gz", "csv.zst", "tsv", "parquet", "tfrecord", "tfrecord.gz")
SCHEMA = Schema(
    name="x",
    features=(
        Feature(name="user", kind="hash", buckets=16),
        Feature(name="item", kind="vocabulary", dtype="int64"),
        Feature(name="price", kind="log_round"),
        Feature(name="tags", kind="vocabulary", max_length=3, weights="tag_weights"),
        Feature(name="seen", kind="vocabulary", dtype="int64", max_length=2),
    ),
    tasks=(Task(name="click"), Task(name="buy", truth="p_buy", via="cart")),
    sample_weight="w",
    time="at",
)
GOOD: dict[str, list[Any]] = {
    "user": ["a", 'b,"c"', "line\nbreak", "é", None, "NA"],
    "item": [1, -5, 2**62, 0, None, 7],
    "price": [1.5, None, -2e-7, 3.25, 0.0, 1e30],
    "tags": [["x", "y", "z", "w"], ["x"], ["é"], ["p", "q"], ["x"], ["y"]],
    "tag_weights": [[1.0, 2.0, 3.0, 4.0], [0.5], [-1.0], [0.0, 1.0], [2.0], [1.0]],
    "seen": [[1, 2, 3], [4], [5, 6], [7], [8], [9]],
    "click": [1, 0, 1, 0, 1, 0],
    "buy": [1, 0, 0, 0, 1, 0],
    "cart": [1, 0, 1, 0, 0, 0],
    "p_buy": [0.5, 0.1, 0.2, 0.1, 0.9, 0.3],
    "w": [1.0, 0.0, 2.5, 1.0, 1.0, 1.0],
    "at": [1, 2, 3, 4, 5, 6],
    "other": ["not", "in", "the", "schema", "at", "all"],
}


def read(path: pathlib.Path, bad_rows: BadRows | None = None, **settings: Any) -> list[Block]:
    return list(read_blocks([str(path)], SCHEMA, bad_rows=bad_rows or BadRows(), **settings))


def written(tmp_path: pathlib.Path, extension: str, **changes: list[Any]) -> pathlib.Path:
    path = tmp_path / f"train.{extension}"
    write(path, {**GOOD, **changes})
    return path


def texts(values: np.ndarray) -> list[Any]:
    decoded = [
        value.decode() if isinstance(value, bytes) else value for value in values.reshape(-1)
    ]
    return np.array(decoded, object).reshape(values.shape).tolist()  # type: ignore[no-any-return]


def changed(column: str, row: int, value: Any) -> dict[str, list[Any]]:
    """GOOD's column with one other value; rows from 1."""
    values = list(GOOD[column])
    values[row - 1] = value
    return {column: values}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_was_written(tmp_path: pathlib.Path, extension: str) -> None:
    (block,) = read(written(tmp_path, extension))
    c = block.columns
    assert texts(c["user"]) == ["a", 'b,"c"', "line\nbreak", "é", "", ""]
    assert c["item"].tolist() == [1, -5, 2**62, 0, -1, 7] and c["item"].dtype == np.int64
    np.testing.assert_array_equal(
        c["price"], np.array([1.5, np.nan, -2e-7, 3.25, 0.0, 1e30], np.float32)
    )
    assert texts(c["tags"])[:4] == [["x", "y", "z"], ["x", "", ""], ["é", "", ""], ["p", "q", ""]]
    weights = c["tag_weights"]
    np.testing.assert_array_equal(
        weights[:4], np.array([[1, 2, 3], [0.5, 0, 0], [-1, 0, 0], [0, 1, 0]], np.float32)
    )
    assert c["seen"].tolist() == [[1, 2], [4, -1], [5, 6], [7, -1], [8, -1], [9, -1]]
    np.testing.assert_allclose(c["p_buy"], GOOD["p_buy"], rtol=1e-7)
    assert c["w"].tolist() == GOOD["w"] and block.time is not None
    assert block.time.tolist() == GOOD["at"] and block.time.dtype == np.int64 and "at" not in c
    assert block.labels.tolist() == [[1, 1], [0, 0], [1, 0], [0, 0], [1, 1], [0, 0]]
    assert (
        block.row.tolist() == [1, 2, 3, 4, 5, 6]
        and block.file.tolist() == [0] * 6
        and block.raw_rows == 6
    )


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("click", 2, 2, "row 2, column 'click': a label must be 0 or 1. Received: '?2"),
        ("click", 6, None, "row 6, column 'click': is unknown: a label may be missing only after"),
        ("buy", 3, None, "row 3, column 'buy': is unknown: a label may be missing only after a 0"),
        ("buy", 4, 1, "row 4, column 'buy': is 1 where the earlier step 'click' is 0. Received: 1"),
        (
            "cart",
            2,
            1,
            "row 2, column 'cart': is 1 where the earlier step 'click' is 0. Received: 1",
        ),
        ("cart", 1, 2, "row 1, column 'cart': an action must be 0 or 1. Received: '?2"),
        ("cart", 3, None, "row 3, column 'cart': is unknown: an action may be missing only after"),
        (
            "w",
            3,
            -1.0,
            "row 3, column 'w': a sample weight must be a finite number, 0 or more. Received: -1.0",
        ),
        ("p_buy", 5, None, "row 5, column 'p_buy': must be a finite number. Received: nan"),
        ("at", 1, None, "row 1, column 'at': must be a time .* or a finite number. Received: "),
        (
            "tag_weights",
            4,
            [1.0],
            "row 4, column 'tag_weights': must hold as many numbers as 'tags' holds values. .*: 1",
        ),
        ("tag_weights", 2, [float("inf")], "row 2, column 'tag_weights': must hold finite numbers"),
    ],
)
def test_bad_rows(
    tmp_path: pathlib.Path, extension: str, column: str, row: int, value: Any, message: str
) -> None:
    path = written(tmp_path, extension, **changed(column, row, value))
    with pytest.raises(BadRowError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: row {row}, ")
    dropping = BadRows("drop")
    (block,) = read(path, dropping)
    assert block.row.tolist() == [r for r in range(1, 7) if r != row]
    assert len(block.columns["user"]) == len(block.labels) == 5 and block.raw_rows == 6
    assert dropping.count == 1
    assert dropping.report()[0].startswith(
        f"dropped 1 rows, the first: {path}: row {row}, column {column!r}: "
    )


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "item",
            ["1", "2", "x7", "4", "", "6"],
            "row 3, column 'item': must be an integer. Received: b?'x7'",
        ),
        (
            "item",
            [1.0, 2.0, 3.0, 4.5, 5.0, 6.0],
            "row 4, column 'item': must be an integer. Received: '?4.5",
        ),
        (
            "price",
            ["1", "2", "3", "4", "cheap", "6"],
            "row 5, column 'price': must be a number. Received: b?'cheap'",
        ),
        (
            "seen",
            [["1"], ["2"], ["3", "no"], ["4"], ["5"], ["6"]],
            "row 3, column 'seen': must be an integer. .*: b?'no'",
        ),
    ],
)
def test_text_where_a_number_belongs(
    tmp_path: pathlib.Path, extension: str, column: str, values: list[Any], message: str
) -> None:
    path = written(tmp_path, extension, **{column: values})
    with pytest.raises(BadRowError, match=message):
        read(path)
    dropping = BadRows("drop")
    assert len(read(path, dropping)[0].row) == 5 and dropping.count == 1


def test_the_first_bad_row_is_the_one_raised(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv", **changed("buy", 4, 1), **changed("item", 2, "x"))
    with pytest.raises(BadRowError, match="row 2, column 'item'"):
        read(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_missing_column_and_missing_rows(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    write(path, {name: values for name, values in GOOD.items() if name != "price"})
    with pytest.raises(DataError, match="column 'price' is missing"):
        read(path)
    with pytest.raises(DataError, match=rf"{path}: holds no rows"):
        write(path, {name: [] for name in GOOD})
        read(path)


def test_csv_headers(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("")
    with pytest.raises(DataError, match=r"train.csv: holds no rows"):
        read(path)
    header = ",".join(GOOD)
    path.write_text(f"{header},item\n1\n")
    with pytest.raises(
        DataError, match="column 'item' stands 2 times in the header; the columns are user, item"
    ):
        read(path)
    path.write_bytes(
        b"\xef\xbb\xbf" + written(tmp_path, "csv").read_bytes()
    )  # a byte order mark is no part of a name
    assert len(read(path)[0].row) == 6


def test_csv_rows_of_a_wrong_width(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv")
    lines = path.read_text().split("\n")  # the third row holds a line break
    lines[2:2] = ["too,short"]
    lines[-1:] = ["1,2,3", ""]
    path.write_text("\n".join(lines))
    with pytest.raises(BadRowError, match=r"train.csv: row 2: must have 13 cells. Received: 2"):
        read(path)
    dropping = BadRows("drop")
    blocks = read(path, dropping, block_rows=4)
    assert [r for b in blocks for r in b.row] == [1, 3, 4, 5, 6, 7]
    assert dropping.count == 2 and "row 2: must have 13 cells" in dropping.report()[0]
    assert sum(b.raw_rows for b in blocks) == 6


def test_csv_numbers_that_are_missing(tmp_path: pathlib.Path) -> None:
    path = written(
        tmp_path,
        "csv",
        item=["", "NA", "null", "None", "NaN", "5"],
        price=["", "N/A", "nan", "NULL", "1", "2"],
    )
    (block,) = read(path)
    assert block.columns["item"].tolist() == [-1, -1, -1, -1, -1, 5]
    assert np.isnan(block.columns["price"]).tolist() == [True, True, True, True, False, False]


def test_not_utf8(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv")
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff"))
    with pytest.raises(
        DataError, match=r"train.csv: cannot be read after row 2: the next row is not UTF-8"
    ):
        read(path)


@pytest.mark.parametrize("extension", ["csv.gz", "csv.zst", "tfrecord", "tfrecord.gz", "parquet"])
def test_truncated_files(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    picked = np.random.default_rng(0).integers(0, 6, 3000)
    write(path, {name: [values[i] for i in picked] for name, values in GOOD.items()})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot be read( after row \d+)?: ") as caught:
        read(path, block_rows=100)
    assert str(caught.value).startswith(str(path))


def test_corrupt_tfrecord_says_after_which_row(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "tfrecord")
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    data[16 + length + 20] ^= 0xFF  # inside the second record
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="cannot be read after row 1: corrupted record"):
        read(path)


def test_tfrecord_kinds(tmp_path: pathlib.Path) -> None:
    path = written(
        tmp_path,
        "tfrecord",
        price=[1, 2, 3, 4, 5, 6],
        click=[1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
        user=[7, 8, 9, 1, 2, 3],
    )
    (block,) = read(path)
    assert block.columns["price"].tolist() == [1, 2, 3, 4, 5, 6]
    assert texts(block.columns["user"]) == ["7", "8", "9", "1", "2", "3"]
    mixed = written(tmp_path, "tfrecord", **changed("item", 3, "three"))
    with pytest.raises(
        BadRowError,
        match=r"row 3, column 'item': must be stored as int64_list, as before. Received: b'three'",
    ):
        read(mixed)
    twice = written(tmp_path, "tfrecord", **changed("item", 2, [1, 2]))
    with pytest.raises(
        BadRowError, match=r"row 2, column 'item': must hold one value. Received: \[1, 2\]"
    ):
        read(twice)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"no example at all")
    with pytest.raises(DataError, match="column 'user' is missing from the first 1 records"):
        read(path)


def test_parquet_types(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "parquet")
    table = pq.read_table(path)
    stamps = pa.array([0, 1, 2, 3, 4, 5], pa.timestamp("s"))
    flags = pa.array([True, False, True, False, True, False])
    table = table.set_column(table.schema.get_field_index("at"), "at", stamps)
    table = table.set_column(table.schema.get_field_index("click"), "click", flags)
    table = table.set_column(
        table.schema.get_field_index("user"), "user", pa.array([7, 8, 9, 1, 2, None])
    )
    pq.write_table(table, path)
    (block,) = read(path)
    assert block.time is not None and block.time.dtype == "M8[ns]"
    assert block.time.astype(np.int64).tolist() == [second * 10**9 for second in range(6)]
    assert block.columns["user"].tolist() == ["7", "8", "9", "1", "2", ""]
    pq.write_table(
        table.set_column(table.schema.get_field_index("item"), "item", pa.array([[1]] * 6)), path
    )
    with pytest.raises(
        DataError, match=r"column 'item' must hold one value a row. Received: list<"
    ):
        read(path)
    path.write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read after row 0: "):
        read(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_blocks_and_start_row(tmp_path: pathlib.Path, extension: str) -> None:
    paths = [str(tmp_path / f"train-{i}.{extension}") for i in range(3)]
    for i, path in enumerate(paths):
        with Writer(path) as writer:
            for _ in range(4):
                writer.append({**GOOD, "item": [i] * 6})

    def places(start: int) -> list[tuple[int, int]]:
        blocks = read_blocks(paths, SCHEMA, bad_rows=BadRows(), block_rows=10, start_row=start)
        return [
            (int(f), int(r)) for block in blocks for f, r in zip(block.file, block.row, strict=True)
        ]

    whole = places(0)
    assert whole == [(f, r) for f in range(3) for r in range(1, 25)]
    sizes = [len(b.row) for b in read_blocks(paths, SCHEMA, bad_rows=BadRows(), block_rows=10)]
    assert sizes == [10, 10, 4] * 3
    for start in (1, 9, 10, 24, 30, 71, 72):
        assert places(start) == whole[start:]
    (block,) = read_blocks(paths[:1], SCHEMA, bad_rows=BadRows(), columns=["at"])
    assert block.columns == {} and block.time is not None and block.labels.shape == (24, 0)


def test_find_files(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        DataError,
        match=r"no file train.EXT, train-.*.EXT or train/.*.EXT, where EXT is one of .csv, ",
    ):
        find_files(tmp_path, "train")
    assert find_files(tmp_path, "valid", required=False) == []
    (tmp_path / "train").mkdir()
    for name in (
        "train-2.csv",
        "train-1.csv.gz",
        "train/b.csv",
        "training.csv",
        "train.txt",
        "test.csv",
    ):
        (tmp_path / name).write_text("")
    expected = sorted(
        str(tmp_path / name) for name in ("train-1.csv.gz", "train-2.csv", "train/b.csv")
    )
    assert find_files(tmp_path, "train") == expected
    (tmp_path / "train.parquet").write_text("")
    with pytest.raises(
        DataError, match=r"'train' files must be of one format. Received: .*parquet"
    ):
        find_files(tmp_path, "train")


def test_writers_are_whole_or_nothing_and_deterministic(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv.gz")
    first = path.read_bytes()
    with pytest.raises(RuntimeError, match="mid-way"), Writer(path) as writer:
        writer.append(GOOD)
        raise RuntimeError("mid-way")
    assert path.read_bytes() == first and [p.name for p in tmp_path.iterdir()] == ["train.csv.gz"]
    assert written(tmp_path, "csv.gz").read_bytes() == first
    with gzip.open(path, "rt", newline="") as file:  # as another reader sees it
        rows = list(csv.DictReader(file))
    assert rows[1]["user"] == 'b,"c"' and rows[0]["tags"] == "x|y|z|w" and rows[4]["item"] == ""
    with pytest.raises(ValueError, match=r"must end in one of .csv, .csv.gz, "):
        Writer(tmp_path / "train.txt")


@pytest.mark.parametrize("extension", ["csv", "csv.gz", "parquet", "tfrecord"])
def test_a_file_name_that_is_not_utf8(tmp_path: pathlib.Path, extension: str) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"train-\xff." + extension.encode())
    os.rename(written(tmp_path, extension), path)
    message = rf"^'{tmp_path}/train-\\udcff.{extension}': must have a name in UTF-8; rename"
    with pytest.raises(DataError, match=message):
        find_files(tmp_path, "train")
    with pytest.raises(DataError, match=message):
        list(read_blocks([os.fsdecode(path)], SCHEMA, bad_rows=BadRows()))
