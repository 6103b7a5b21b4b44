"""Parquet files, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.csv_files import Chunk


def read(
    path: str, names: Sequence[str], lists: set[str], block_rows: int, skip: int
) -> Iterator[Chunk]:
    """Reads a file's columns in their own types; arguments and result as in `csv_files.read`.

    Raises:
        DataError: if the file is no Parquet file or is damaged, or a column is missing, or holds lists where one
            value belongs or the reverse.
    """
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, names, lists)
            for group, rows in _pieces(file, names, block_rows, skip):
                numbers = np.arange(done + 1, done + rows + 1, dtype=np.int64)
                done += rows
                columns = group and {name: group.column(name).combine_chunks() for name in names}
                yield columns, numbers, []
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {done}: {error}") from None


def count_rows(path: str) -> int:
    """Rows of a file, from its footer.

    Raises:
        DataError: if the file is no Parquet file or its footer is damaged.
    """
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _pieces(
    file: pq.ParquetFile, names: Sequence[str], block_rows: int, skip: int
) -> Iterator[tuple[pa.Table | None, int]]:
    """Tables of `block_rows` rows; row groups that lie in the part to skip are not read."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    first = 0
    passed = min(skip, sum(sizes))
    if passed:
        yield None, passed
    while sizes and passed >= sizes[0]:
        passed -= sizes.pop(0)
        first += 1
    groups = list(range(first, file.num_row_groups))
    waiting: list[pa.RecordBatch] = []
    rows, size = 0, block_rows - (skip % block_rows)
    for batch in file.iter_batches(
        block_rows, row_groups=groups, columns=list(dict.fromkeys(names))
    ):
        cut = min(passed, batch.num_rows)
        passed, batch = passed - cut, batch.slice(cut)
        waiting, rows = [*waiting, batch], rows + batch.num_rows
        while rows >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size), size
            waiting, rows, size = table.slice(size).to_batches(), rows - size, block_rows
    if rows:
        yield pa.Table.from_batches(waiting), rows


def _check_columns(path: str, schema: pa.Schema, names: Sequence[str], lists: set[str]) -> None:
    check_columns(path, names, schema.names)
    for name in names:
        kind = schema.field(name).type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if is_list != (name in lists) and not pa.types.is_null(kind):
            rule = "must hold lists" if name in lists else "must hold one value a row"
            raise DataError(f"{path}: column {name!r} {rule}. Received: {kind}")
