"""Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.nested import column_at, parts_to_read
from tafe_tf.data.formats.reader import Chunk, Wanted, check_types, table_of
from tafe_tf.data.iterators import rechunk


def read(
    path: str,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's columns in their own types, see `reader.Reader`.

    Row groups that hold only rows to skip are not read, nor columns that are not wanted.

    Raises:
        DataError: If the file is no Parquet file or is damaged, if a column is missing, or if it
            holds lists where one value belongs, or the reverse.
    """
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                return
            check_types(path, file.schema_arrow, wanted.names, wanted.lists)
            done = min(skip, file.metadata.num_rows)
            if done:
                yield Chunk(None, np.arange(1, done + 1), [])
            group, rest = _find_row(file.metadata, done)
            batches = file.iter_batches(
                wanted.block_rows,
                row_groups=list(range(group, file.num_row_groups)),
                columns=parts_to_read(file.schema_arrow, wanted.names),
            )
            first = wanted.block_rows - skip % wanted.block_rows
            for spans in rechunk(batches, wanted.block_rows, skip=rest, first=first):
                table = table_of(spans)
                columns = {}
                for name in wanted.names:
                    columns[name] = column_at(table, name)
                end = done + table.num_rows
                rows = np.arange(done + 1, end + 1)
                done = end
                yield Chunk(columns, rows, [])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {done}: {error}") from None


def count_rows(path: str) -> int:
    """Counts the rows of a file by its footer.

    Raises:
        DataError: If the file is no Parquet file or its footer is damaged.
    """
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _find_row(metadata: pq.FileMetaData, row: int) -> tuple[int, int]:
    """The row group in which a row lies, and how many of the group's rows come before it."""
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < count:
            return group, row
        row -= count
    return metadata.num_row_groups, 0
