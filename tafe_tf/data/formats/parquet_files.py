"""Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.reader import Chunk, check_types, table_of
from tafe_tf.data.iterators import rechunk


def read(
    path: str,
    names: Sequence[str],
    lists: Collection[str],
    block_rows: int,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's columns in their own types, see `reader.Reader`.

    Row groups that hold only rows to skip are not read.

    Raises:
        DataError: If the file is no Parquet file or is damaged, if a column is missing, or if it
            holds lists where one value belongs, or the reverse.
    """
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            check_types(path, file.schema_arrow, names, lists)
            done = min(skip, file.metadata.num_rows)
            if done:
                yield Chunk(None, np.arange(1, done + 1), [])
            group, rest = _find_row(file.metadata, done)
            batches = file.iter_batches(
                block_rows,
                row_groups=list(range(group, file.num_row_groups)),
                columns=list(dict.fromkeys(names)),
            )
            first = block_rows - skip % block_rows
            for spans in rechunk(batches, block_rows, skip=rest, first=first):
                table = table_of(spans)
                columns = {}
                for name in names:
                    columns[name] = table.column(name).combine_chunks()
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
