"""The rows of a split for a first look: all columns, whatever the format, and what files lack."""

from __future__ import annotations

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tafe_tf.first_look.raw import read_rows


@pytest.mark.parametrize("empty", ["", "item;price\n", "other\n"])
def test_an_empty_part_among_full_ones_is_no_problem(tmp_path: pathlib.Path, empty: str) -> None:
    full, part = tmp_path / "a.csv", tmp_path / "b.csv"
    full.write_text("item;price\n1;2\n3;4\n")
    part.write_text(empty)
    for files in ([full, part], [part, full]):
        rows = read_rows([str(path) for path in files], 10)
        assert rows.table.to_pydict() == {"item": ["1", "3"], "price": ["2", "4"]}
        assert (list(rows.heads), rows.is_cut, rows.problems) == ([str(full)], False, ())
    rows = read_rows([str(part), str(part)], 10)
    assert rows.problems == (f"{part}, {part}: holds no rows",)
    assert rows.table.num_rows == 0


def test_an_empty_parquet_part_has_no_types_to_compare(tmp_path: pathlib.Path) -> None:
    full, part = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"item": [1, 2]}), full)
    pq.write_table(pa.table({}), part)
    rows = read_rows([str(part), str(full)], 10)
    assert rows.table.to_pydict() == {"item": [1, 2]}
    assert list(rows.heads) == [str(full)] and rows.problems == ()
