"""Writes Arrow tables as Parquet or TFRecord, piece by piece.

The same pieces give the same bytes.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_tables(
    path: pathlib.Path,
    schema: pa.Schema,
) -> ParquetTables | TFRecordTables:
    """Opens a file for tables of one schema.

    Args:
        path: The file; .parquet makes it a Parquet file, any other ending TFRecord.
        schema: The Arrow types of the tables.

    Returns:
        A context manager whose `append` takes tables.
    """
    kind = ParquetTables if path.suffix == ".parquet" else TFRecordTables
    return kind(path, schema)


class ParquetTables(contextlib.AbstractContextManager["ParquetTables"]):
    """A Parquet file with a row group for each piece.

    What a reader takes at once thus fits in its memory as it did in the writer's.
    """

    def __init__(self, path: pathlib.Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)

    def append(self, table: pa.Table) -> None:
        """Writes some more rows, one or more."""
        self._writer.write_table(table, row_group_size=table.num_rows)

    def __exit__(self, *error: object) -> None:
        self._writer.close()


class TFRecordTables(contextlib.AbstractContextManager["TFRecordTables"]):
    """A `tf.train.Example` for each row.

    A float32 NaN or a null is written as an empty list, so that a reader finds the column even
    where all of its values are missing. A float64 is written as decimal text and a timestamp in
    ISO 8601, of which no digit is lost.
    """

    def __init__(self, path: pathlib.Path, schema: pa.Schema) -> None:
        # Imports TensorFlow, which takes seconds, and which Parquet does not need.
        from tafe_tf.data.formats.write import Writer

        self._writer = Writer(path)
        self._names = schema.names

    def append(self, table: pa.Table) -> None:
        """Writes some more rows, one or more."""
        columns = {}
        for name in self._names:
            columns[name] = _cells(table[name])
        self._writer.append(columns)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        *error: Any,
    ) -> None:
        self._writer.__exit__(kind, *error)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column as `Writer` takes them."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    if column.type == pa.float64():
        return [repr(value) for value in values]
    if column.type == pa.float32():
        return [[] if _is_nan(value) else value for value in values]
    return [[] if value is None else value for value in values]


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)
