"""Writes Arrow tables as Parquet or TFRecord, piece by piece: the same pieces give the same bytes."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_tables(path: pathlib.Path, schema: pa.Schema) -> ParquetTables | TFRecordTables:
    """A context manager whose `append` takes tables of the schema; a path that ends in .parquet says Parquet."""
    return (ParquetTables if path.suffix == ".parquet" else TFRecordTables)(path, schema)


class ParquetTables(contextlib.AbstractContextManager["ParquetTables"]):
    """A row group for each piece: what is read at once later on fits in memory as it did now."""

    def __init__(self, path: pathlib.Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)

    def append(self, table: pa.Table) -> None:
        """Writes some more rows, one or more."""
        self._writer.write_table(table, row_group_size=table.num_rows)

    def __exit__(self, *error: object) -> None:
        self._writer.close()


class TFRecordTables(contextlib.AbstractContextManager["TFRecordTables"]):
    """A `tf.train.Example` for each row.

    A float32 NaN is an empty list, so that a reader finds the column where all values are missing. A float64 is
    decimal text, of which no digit is lost.
    """

    def __init__(self, path: pathlib.Path, schema: pa.Schema) -> None:
        from tafe_tf.data.formats.write import (
            Writer,
        )  # TensorFlow takes seconds, and Parquet needs none

        self._writer = Writer(path)
        self._names = schema.names

    def append(self, table: pa.Table) -> None:
        """Writes some more rows, one or more."""
        self._writer.append({name: _cells(table[name]) for name in self._names})

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._writer.__exit__(kind, *error)


def _cells(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if column.type == pa.float64():
        return [repr(value) for value in values]
    return (
        [[] if value != value else value for value in values]
        if column.type == pa.float32()
        else values
    )
