"""Key columns: they stay with the rows of the others, and keep their values."""

from __future__ import annotations

import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_files import EXTENSIONS, GOOD, read, written

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.write import write

NAMES = ["item", "price"]


def kept(path: pathlib.Path, names: list[str], **settings: Any) -> dict[str, list[Any]]:
    blocks = read(path, columns=NAMES, keep=names, **settings)
    return {
        name: pa.concat_arrays([block.kept[name] for block in blocks]).to_pylist() for name in names
    }


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_rows_stay_together(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(tmp_path, extension, item=["1", "x", "3", "4"], name=["a", "b", "c", "d"])
    bad_rows = BadRows("drop")
    blocks = read(path, bad_rows, columns=NAMES, keep=["name"], block_rows=3)
    names = [
        [n.decode() if isinstance(n, bytes) else n for n in b.kept["name"].to_pylist()]
        for b in blocks
    ]
    assert names == [["a", "c"], ["d"]]
    assert [block.row.tolist() for block in blocks] == [[1, 3], [4]]
    assert [list(block.columns) for block in blocks] == [NAMES, NAMES]
    assert bad_rows.count == 1
    (rest,) = read(path, columns=NAMES, keep=["name"], block_rows=3, start_row=3)
    assert rest.kept["name"] == blocks[1].kept["name"]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_schemas_columns_take_its_types(tmp_path: pathlib.Path, extension: str) -> None:
    large = 2**53 + 1  # has no float64
    items = [1, None, -1, large]
    times = [1, None, 3, 4]
    path = written(tmp_path, extension, item=items, at=times)
    (block,) = read(path, columns=NAMES, keep=["item", "price", "at"])
    assert block.kept["item"] == pa.array(items, pa.int64())
    assert block.kept["price"] == pa.array(GOOD["price"], pa.float32())
    assert block.kept["at"].to_pylist() == times
    converted = block.columns["item"].tolist()
    assert converted == [1, -1, -1, large]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_labels_are_columns_like_others(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(tmp_path, extension, click=[5, 0, 1, 0])  # 5 is no label, but none is asked for
    assert [int(value) for value in kept(path, ["click"])["click"]] == [5, 0, 1, 0]


def test_bad_values_of_a_known_column(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv", at=[1, "late", 3, 4])
    with pytest.raises(
        BadRowError, match=r"train.csv: row 2, column 'at': must be a time .* Received: 'late'"
    ):
        kept(path, ["at"])
    assert kept(path, ["at"], bad_rows=BadRows("drop"))["at"] == [1.0, 3.0, 4.0]
    table = pa.table({**GOOD, "at": pa.array([{"x": 1}] * 4)})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(
        DataError, match=r"train.parquet: column 'at' is struct<x: int64> in this table"
    ):
        kept(tmp_path / "train.parquet", ["at"])


def test_what_cannot_be_kept(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "parquet", more=[[1], [2], [3], [4]])
    with pytest.raises(
        ValueError, match=r"keep must name columns of one value a row. Received: \['tags'\]"
    ):
        kept(path, ["tags"])
    with pytest.raises(DataError, match=r"column 'more' must hold one value a row. Received: list"):
        kept(path, ["more"])
    with pytest.raises(DataError, match="column 'none' is missing"):
        kept(path, ["none"])


def test_rows_of_a_wrong_width_are_reported_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    write(path, {name: values * 3 for name, values in GOOD.items()})
    lines = path.read_text().split("\n")
    for number in (2, 9):
        lines[number] += ",more"
    path.write_text("\n".join(lines))
    for start, expected in ((0, 2), (4, 1), (8, 0), (10, 0)):
        bad_rows = BadRows("drop")
        found = [
            row
            for block in read(path, bad_rows, columns=NAMES, block_rows=4, start_row=start)
            for row in block.row
        ]
        assert (len(found), bad_rows.count) == (10 - start, expected)


def test_what_was_dropped_is_handed_over_once(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "csv", item=["x", "y", 3, 4], price=["z", 1, 2, 3])
    bad_rows = BadRows("drop")
    read(path, bad_rows)
    lines = bad_rows.report()
    rows, reasons = bad_rows.take()
    assert (rows, [(d.column, d.rows) for d in reasons]) == (2, [("item", 2), ("price", 1)])
    assert [str(d) for d in reasons] == lines and lines[0].startswith("dropped 2 rows, the first: ")
    assert bad_rows.take() == (0, [])
