"""All columns of a file as one table, where no schema says which are wanted."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files
from tafe_tf.data.formats.csv_header import read_header
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.read import BLOCK_ROWS
from tafe_tf.data.formats.reader import Wanted


def read_table(
    path: str,
    delimiter: str = "",
    quote: str = '"',
) -> pa.Table:
    """Reads a CSV or Parquet file whole.

    Args:
        path: The file.
        delimiter: The character between CSV cells. Default: "", what ending or header show.
        quote: The character around a CSV cell; "" if there is none. Default: '"'.

    Returns:
        The columns; those of a CSV file are texts, and empty where a cell is.

    Raises:
        DataError: If the file cannot be read, is of another format, or has no rows.
        BadRowError: At the first CSV row of a wrong width.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
        >>> _ = path.write_text("item;price\\n7;1.5\\n")
        >>> read_table(str(path)).to_pydict()
        {'item': ['7'], 'price': ['1.5']}
    """
    if format_of(path) == ".parquet":
        try:
            return pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
    if format_of(path) not in (".csv", ".tsv"):
        raise DataError(f"{path}: must be a CSV or Parquet file")
    wanted = Wanted(
        names=(),
        block_rows=BLOCK_ROWS,
        delimiter=delimiter,
        quote=quote,
    )
    return _read_csv(path, wanted)


def _read_csv(path: str, wanted: Wanted) -> pa.Table:
    """Reads all columns that the header names."""
    found = read_header(path, wanted)
    if found is None:
        raise DataError(f"{path}: holds no rows")
    names, delimiter = found
    of_all = dataclasses.replace(wanted, names=names, delimiter=delimiter)
    bad_rows = BadRows()
    tables = []
    for chunk in csv_files.read(path, of_all, 0):
        bad_rows.judge(path, chunk.rows, chunk.problems)
        tables.append(pa.table(chunk.columns))
    return pa.concat_tables(tables)
