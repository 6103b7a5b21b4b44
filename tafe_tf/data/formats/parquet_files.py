"""Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.bounded import MOST_BYTES, chunks_of
from tafe_tf.data.formats.nested import parts_to_read
from tafe_tf.data.formats.parquet_ranges import ParquetFile, is_part_of
from tafe_tf.data.formats.reader import Chunk, Wanted, check_not_in_file, check_types

_FEWEST_ROWS = 1 << 12  # to take at a time
_LONG_TEXT = 1 << 14  # bytes; a text is taken to be so long where nothing tells


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
        with ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                return
            check_not_in_file(path, wanted.of_folders, file.schema_arrow.names)
            check_types(path, file.schema_arrow, wanted.names, wanted.lists)
            done = min(skip, file.metadata.num_rows)
            if done:
                yield Chunk(None, np.arange(1, done + 1), [])
            group, rest = _find_row(file.metadata, done)
            parts = parts_to_read(file.schema_arrow, wanted.names)
            batches = file.batches(
                _rows_at_a_time(file.metadata, parts, wanted.block_rows),
                group,
                parts,
            )
            for chunk in chunks_of(
                batches,
                wanted,
                done=done,
                skip=rest,
            ):
                done += len(chunk.rows)
                yield chunk
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {done}: {error}") from None


def _rows_at_a_time(
    metadata: pq.FileMetaData,
    parts: Collection[str],
    block_rows: int,
) -> int:
    """How many rows to take at a time, so that not even texts of 10 KB fill the memory.

    A text that is stored once may stand in every row, so that what a file holds tells little. Its
    statistics hold the first and the last text, and none where these are long.
    """
    heaviest = 0.0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        weight = 0.0
        for index in range(row_group.num_columns):
            column = row_group.column(index)
            if is_part_of(column, parts) and column.physical_type == "BYTE_ARRAY":
                weight += _text_bytes(column) * column.num_values
        heaviest = max(heaviest, weight / max(row_group.num_rows, 1))
    rows = int(MOST_BYTES / max(heaviest, 1.0))
    return min(max(rows, _FEWEST_ROWS), block_rows)


def _text_bytes(column: pq.ColumnChunkMetaData) -> int:
    """About how long the texts of a column are in memory."""
    statistics = column.statistics
    if statistics is not None and statistics.has_min_max:
        ends = (statistics.min_raw, statistics.max_raw)
        return max(len(text) for text in ends)
    is_empty = statistics is not None and statistics.null_count == column.num_values
    return 0 if is_empty else _LONG_TEXT


def count_rows(path: str) -> int:
    """Counts the rows of a file by its footer.

    Raises:
        DataError: If the file is no Parquet file or its footer is damaged.
    """
    try:
        with ParquetFile(path) as file:
            return file.metadata.num_rows
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
