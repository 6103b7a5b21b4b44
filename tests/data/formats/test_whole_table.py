"""A file of which no schema says what is wanted is read as training reads it, all columns of it."""

from __future__ import annotations

import pathlib

import pyarrow as pa
import pytest
from small_files import GOOD, written

from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.whole_table import read_table


@pytest.mark.parametrize("extension", ["csv", "csv.gz", "csv.zst", "tsv", "tsv.gz"])
def test_texts_of_all_columns(tmp_path: pathlib.Path, extension: str) -> None:
    table = read_table(str(written(tmp_path, extension)))
    assert table.schema.names == list(GOOD)
    assert set(table.schema.types) == {pa.string()}
    assert table.column("price").to_pylist() == ["1.5", "2.0", "", "4.0"]
    assert table.column("tags").to_pylist() == ["x|y", "z", "x", "y"]


def test_parquet_keeps_its_types(tmp_path: pathlib.Path) -> None:
    assert read_table(str(written(tmp_path, "parquet"))).to_pydict() == GOOD


def test_delimiter_and_quote(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\ufeffa;b\n'1;2';3\n")
    assert read_table(str(path), quote="'").to_pydict() == {"a": ["1;2"], "b": ["3"]}
    path.write_text("a~b\n1~2\n")
    assert read_table(str(path), "~").to_pydict() == {"a": ["1"], "b": ["2"]}


def test_what_cannot_be_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(BadRowError, match=r"rows.csv: row 2: must have 2 cells. Received: 1"):
        read_table(str(path))
    path.write_text("a,b\n")
    with pytest.raises(DataError, match=r"rows.csv: holds no rows"):
        read_table(str(path))
    with pytest.raises(DataError, match=r"a.tfrecord: must be a CSV or Parquet file"):
        read_table(str(tmp_path / "a.tfrecord"))
    with pytest.raises(DataError, match=r"rows.txt: must end in one of .csv, "):
        read_table(str(tmp_path / "rows.txt"))
    (tmp_path / "b.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"b.parquet: cannot be read: "):
        read_table(str(tmp_path / "b.parquet"))
