"""CSV of any delimiter and quoting, empty parts, other programs' marks, shards without a column."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from small_files import EXTENSIONS, GOOD, SCHEMA, column, read, texts, written

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import notes_of, read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write

NO_ROWS: dict[str, list[Any]] = {name: [] for name in GOOD}


def text_of(delimiter: str, quoting: Any = csv.QUOTE_MINIMAL, lists: str = "/") -> str:
    """GOOD as Python's own writer writes it, with lists of another separator."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerow(GOOD)
    for row in zip(*GOOD.values(), strict=True):
        cells = [lists.join(map(str, cell)) if isinstance(cell, list) else cell for cell in row]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return file.getvalue()


def with_lists(separator: str, **changes: Any) -> Any:
    """The schema, with another separator of lists."""
    features = []
    for feature in SCHEMA.features:
        if feature.max_length:
            feature = dataclasses.replace(feature, separator=separator)
        features.append(feature)
    return dataclasses.replace(SCHEMA, features=tuple(features), **changes)


def same(blocks: list[Block]) -> None:
    """Checks that blocks hold GOOD."""
    (block,) = blocks
    assert block.columns["item"].tolist() == GOOD["item"]
    assert texts(block.columns["tags"].tolist()) == [["x", "y"], ["z", ""], ["x", ""], ["y", ""]]
    assert block.labels.T.tolist() == [GOOD["click"], GOOD["buy"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_header_shows_the_delimiter(
    tmp_path: pathlib.Path, delimiter: str, ending: str, quoting: int, mark: bytes
) -> None:
    path = tmp_path / f"train.{ending}"
    with pa.output_stream(path) as file:
        file.write(mark + text_of(delimiter, quoting).encode())
    bad_rows = BadRows()
    schema = with_lists("/")
    for _ in range(2):  # as in two epochs
        same(list(read_blocks([str(path)] * 2, schema, bad_rows=bad_rows))[:1])
    said = f"{path}: cells are parted by {delimiter!r}, as the header shows"
    assert [note.split(";")[0] for note in bad_rows.report()] == (
        [] if delimiter == "," else [said.split(";")[0]]
    )


@pytest.mark.parametrize("ending", ["tsv", "tsv.gz", "tsv.zst"])
def test_tsv_is_parted_by_tabs_and_a_declared_delimiter_by_itself(
    tmp_path: pathlib.Path, ending: str
) -> None:
    path = tmp_path / f"train.{ending}"
    bad_rows = BadRows()
    for delimiter, declared in (("\t", ""), (";", ";"), ("~", "~")):
        with pa.output_stream(path) as file:
            file.write(text_of(delimiter).encode())
        schema = with_lists("/", delimiter=declared)
        same(list(read_blocks([str(path)], schema, bad_rows=bad_rows)))
    assert bad_rows.report() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "item~price~tags\n1~2~3\n",
            r"the header shows none of ',' and ';' and '\\t' and '\|'; set `delimiter` to",
        ),
        (
            "a,b;c,d\n1,2;3,4\n",
            r"the header may be parted by ',' and ';'; set `delimiter` to .*'a,b;c,d'",
        ),
        ("item\0price\n", "is no UTF-8 text; save it as UTF-8"),
        ("item;price;tags\n1;2;3\n", "column 'tag_weights' is missing; the columns are item, p"),
    ],
)
def test_headers_that_show_no_single_delimiter(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        read(path)


def test_names_of_columns_decide_between_delimiters(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    header, _, rest = text_of(";").partition("\n")
    path.write_text(f"{header};a,b,c,d,e,f,g,h,i|j\n{rest.replace(chr(10), ';0' + chr(10))}")
    same(list(read_blocks([str(path)], with_lists("/"), bad_rows=BadRows())))


def test_a_file_of_one_column_needs_no_delimiter(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("at\n1\n2\n")
    assert column(path, "at", columns=["at"]) == [1, 2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16(tmp_path: pathlib.Path, encoding: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text_of(","), encoding=encoding)
    with pytest.raises(DataError, match=rf"{path}: is .*; save it as UTF-8"):
        read(path)


def test_quotes_of_another_kind_and_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    text = text_of(",", lists=",").replace('"', "'")
    path.write_text(text.replace("x,y", "x,y\n"))
    schema = with_lists(",", quote="'")
    (block,) = read_blocks([str(path)], schema, bad_rows=BadRows(), columns=["tags"])
    assert texts(block.columns["tags"].tolist())[0] == ["x", "y\n"]
    path.write_text(text_of(",").replace("z", 'so-called "z').replace(",y,", ',y",'))
    (block,) = read_blocks([str(path)], with_lists("/", quote=""), bad_rows=BadRows())
    assert texts(block.columns["tags"].tolist())[1::2] == [['so-called "z', ""], ['y"', ""]]


@pytest.mark.parametrize("policy", ["raise", "drop"])
def test_a_decimal_comma_is_refused_whatever_the_policy(
    tmp_path: pathlib.Path, policy: Any
) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text_of(";").replace("4.0", "4,25"))
    with pytest.raises(
        DataError,
        match=r"row 4, column 'price': is a number with a comma; write all .*: '4,25'",
    ):
        read(path, BadRows(policy))


EMPTY = {
    "csv": ["", "\n", "\ufeff", ",".join(GOOD), ",".join(GOOD) + "\n", "other,header\n\n"],
    "tsv": ["", "\t".join(GOOD)],
    "csv.gz": ["", ",".join(GOOD)],
    "csv.zst": ["", ",".join(GOOD)],
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_empty_parts_among_full_ones(tmp_path: pathlib.Path, extension: str) -> None:
    full = written(tmp_path, extension)
    empty = []
    for number, text in enumerate(EMPTY.get(extension, [""])):
        path = tmp_path / f"empty-{number}.{extension}"
        if extension == "parquet":
            pq.write_table(pa.table({}), path)
        elif "tfrecord" in extension:
            write(path, NO_ROWS)
        else:
            with pa.output_stream(path) as file:
                file.write(text.encode())
        empty.append(str(path))
    if extension == "parquet":
        path = tmp_path / "typed.parquet"
        write(path, NO_ROWS)
        empty.append(str(path))
    files = [*empty, str(full), *empty, str(full)]
    for start in range(8):
        blocks = list(read_blocks(files, SCHEMA, bad_rows=BadRows(), start_row=start))
        assert [row for block in blocks for row in block.row] == [1, 2, 3, 4, 1, 2, 3, 4][start:]
        at_full = {len(empty), 2 * len(empty) + 1}
        assert {int(file) for block in blocks for file in block.file} <= at_full
    with pytest.raises(DataError, match="holds no rows"):
        list(read_blocks(empty, SCHEMA, bad_rows=BadRows()))
    (block,) = read_blocks(empty[:1], SCHEMA, bad_rows=BadRows(), split=files)
    assert len(block.row) == 0 and block.columns["tags"].shape == (0, 2)


def test_a_file_of_0_bytes_is_no_empty_parquet_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"train.parquet: cannot be read after row 0: "):
        read(tmp_path / "train.parquet")


def test_folders_as_spark_writes_them(tmp_path: pathlib.Path) -> None:
    for name in ("train", "test.parquet", "valid.csv"):
        (tmp_path / name).mkdir()
    names = [
        *("train/_SUCCESS", "train/._SUCCESS.crc", "train/part-0.csv", "train/.part-0.csv.crc"),
        *("train/_part-1.csv", "train/part-2.csv.gz", "train/part-3.csv.zst"),
        *("test.parquet/part-0.snappy.parquet", "test.parquet/_SUCCESS", "valid.csv/part-0.csv.gz"),
    ]
    for name in names:
        (tmp_path / name).write_text("")
    found = [
        path.removeprefix(f"{tmp_path}/")
        for split in ("train", "test", "valid")
        for path in find_files(tmp_path, split)
    ]
    assert found == [
        *("train/part-0.csv", "train/part-2.csv.gz", "train/part-3.csv.zst"),
        *("test.parquet/part-0.snappy.parquet", "valid.csv/part-0.csv.gz"),
    ]
    (tmp_path / "train.tfrecord.zst").write_text("")
    with pytest.raises(DataError, match=r"train.tfrecord.zst: .* no zst; compress the file as .gz"):
        find_files(tmp_path, "train")


def records(path: pathlib.Path, rows: list[dict[str, Any]]) -> str:
    """Writes records that have only the features that are given."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example()
            for name, value in row.items():
                feature = example.features.feature[name]
                values = value if isinstance(value, list) else [value]
                if isinstance(values[0], str):
                    feature.bytes_list.value.extend(text.encode() for text in values)
                elif isinstance(values[0], float):
                    feature.float_list.value.extend(values)
                else:
                    feature.int64_list.value.extend(values)
            writer.write(example.SerializeToString())
    return str(path)


BASE = {"item": 1, "click": 1, "buy": 0, "at": 1}
RARE = {**BASE, "price": 2.5, "tags": ["x"], "tag_weights": [1.0]}


def test_a_column_that_a_shard_lacks_is_missing_if_another_has_it(tmp_path: pathlib.Path) -> None:
    without = records(tmp_path / "a.tfrecord", [BASE, BASE])
    having = records(tmp_path / "b.tfrecord", [BASE, RARE])
    for files in ([without, having], [having, without]):
        blocks = {block.file[0]: block for block in read_blocks(files, SCHEMA, bad_rows=BadRows())}
        lacking = blocks[files.index(without)].columns
        assert np.isnan(lacking["price"]).all()
        assert texts(lacking["tags"].tolist()) == [["", ""]] * 2
        assert lacking["tag_weights"].tolist() == [[0.0, 0.0]] * 2
    (block,) = read_blocks([without], SCHEMA, bad_rows=BadRows(), split=[having, without])
    assert np.isnan(block.columns["price"]).all()
    (block,) = read_blocks([without], SCHEMA, bad_rows=BadRows(), beside=[having])
    assert np.isnan(block.columns["price"]).all()
    (block,) = read_blocks([having], SCHEMA, bad_rows=BadRows(), block_rows=1, start_row=1)
    assert block.columns["price"].tolist() == [2.5]  # it is not in the first block
    with pytest.raises(DataError, match="column 'price' is missing from the first 2 records, and"):
        list(read_blocks([without, without], SCHEMA, bad_rows=BadRows()))
    records(tmp_path / "b.tfrecord", [BASE, {**RARE, "item": 3}])
    records(tmp_path / "a.tfrecord", [RARE])  # what was found out of a file holds until it changes
    list(read_blocks([without], SCHEMA, bad_rows=BadRows()))


def test_files_may_store_one_column_in_several_kinds(tmp_path: pathlib.Path) -> None:
    files = [
        records(tmp_path / "a.tfrecord", [{**RARE, "item": 7, "tags": ["1"]}]),
        records(tmp_path / "b.tfrecord", [{**RARE, "item": "7", "tags": [1], "price": "2.5"}]),
        records(tmp_path / "c.tfrecord", [{**RARE, "item": 7.0, "price": 2, "click": 1.0}]),
    ]
    blocks = list(read_blocks(files, SCHEMA, bad_rows=BadRows()))
    assert [block.columns["item"].tolist() for block in blocks] == [[7]] * 3
    assert [block.columns["price"].tolist() for block in blocks] == [[2.5], [2.5], [2.0]]
    assert [texts(block.columns["tags"].tolist())[0][0] for block in blocks] == ["1", "1", "x"]
    mixed = records(tmp_path / "d.tfrecord", [RARE, {**RARE, "item": "7"}])
    with pytest.raises(BadRowError, match="row 2, column 'item': must be stored as int64_list"):
        read(pathlib.Path(mixed))


def test_parquet_files_may_store_one_column_in_several_types(tmp_path: pathlib.Path) -> None:
    kinds = [pa.null(), pa.int8(), pa.uint32(), pa.float64(), pa.string()]
    files = []
    for number, kind in enumerate(kinds):
        table = pq.read_table(written(tmp_path, "parquet", price=[1.5, 2.0, 3.0, 4.0]))
        items = pa.nulls(4) if kind == pa.null() else pa.array([1, 2, 3, 4]).cast(kind)
        table = table.set_column(0, "item", items)
        if kind == pa.null():
            table = table.set_column(2, "tags", pa.nulls(4)).set_column(3, "tag_weights", items)
        files.append(str(tmp_path / f"{number}.parquet"))
        pq.write_table(table, files[-1])
    blocks = list(read_blocks(files, SCHEMA, bad_rows=BadRows()))
    assert [block.columns["item"].tolist() for block in blocks] == [[-1] * 4] + [[1, 2, 3, 4]] * 4
    assert texts(blocks[0].columns["tags"].tolist()) == [["", ""]] * 4


def ragged(path: pathlib.Path) -> int:
    """GOOD with a bad label and, in CSV, rows of a wrong width; the number of the file's rows."""
    extension = path.name.partition(".")[2]
    many = {name: values * 5 for name, values in GOOD.items()}
    many["click"] = [7, *many["click"][1:-1], 7]
    write(path, many)
    if not extension.startswith(("csv", "tsv")):
        return 20
    with pa.input_stream(path) as file:
        lines = file.read().decode().splitlines()
    lines[1:1] = ["too short"]
    lines[9:9] = ["too short", "too short as well"]
    lines.append("too short")
    with pa.output_stream(path) as file:
        file.write("\n".join(lines).encode())
    return 24


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("block_rows", [1, 3, 20, 100])
def test_used_and_dropped_rows_are_the_rows_of_the_files(
    tmp_path: pathlib.Path, extension: str, block_rows: int
) -> None:
    paths = [tmp_path / f"train-{number}.{extension}" for number in range(3)]
    rows = sum(map(ragged, paths))
    files = [str(path) for path in paths]
    bad_rows = BadRows("drop")
    for _ in range(2):  # the second pass counts no row again
        used = 0
        for block in read_blocks(files, SCHEMA, bad_rows=bad_rows, block_rows=block_rows):
            used += len(block.row)
        assert used + bad_rows.count == bad_rows.seen == rows
        assert used == 3 * 18
    good = written(tmp_path, extension)
    raising = BadRows()
    used = sum(len(block.row) for block in read_blocks([str(good)], SCHEMA, bad_rows=raising))
    assert (used, raising.count, raising.seen) == (4, 0, 4)


def test_notes_of_files_that_are_read_elsewhere(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text_of(";"))
    (note,) = notes_of([str(path), str(path)], SCHEMA)
    said = f"{path}: cells are parted by ';', as the header shows"
    assert note == f'{said}; `delimiter = ";"` would say so'
    assert notes_of([str(path)], dataclasses.replace(SCHEMA, delimiter=";")) == []
    assert notes_of([str(tmp_path / "gone.csv")], SCHEMA) == []
    assert notes_of([str(tmp_path / "gone.parquet")], SCHEMA) == []
