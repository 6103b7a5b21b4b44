"""A Parquet file or object, of which the columns and row groups that are needed are read."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.reading import ObjectFile

_GAP_BYTES = 1 << 19  # between columns; a smaller one is read along with them
_MOST_AHEAD = 64 << 20  # bytes of a row group; a larger one is read column by column


class ParquetFile:
    """An open Parquet file; an object's next row group is read while one is worked at.

    Args:
        path: A path or a URI.

    Raises:
        StoreError: If the object is not there or cannot be read.
        OSError: If the local file cannot be read.
        pyarrow.ArrowException: If it is no Parquet file.

    Attributes:
        metadata: The footer.
        schema_arrow: The types of the columns.
        num_row_groups: How many row groups there are.
    """

    def __init__(self, path: str) -> None:
        self._object = ObjectFile(path, is_input=True) if is_remote(path) else None
        source = path if self._object is None else pa.PythonFile(self._object, "r")
        self._file = pq.ParquetFile(source)
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema_arrow: pa.Schema = self._file.schema_arrow
        self.num_row_groups: int = self._file.num_row_groups

    def batches(
        self,
        rows: int,
        first: int = 0,
        columns: Collection[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Reads row groups from one on, batch by batch.

        Args:
            rows: How many rows a batch has at most.
            first: The first row group. Default: 0.
            columns: The columns to read, or parts of them such as "list.element". Default: all.
        """
        names = None if columns is None else list(columns)
        groups = range(first, self.num_row_groups)
        if self._object is None:
            yield from self._file.iter_batches(rows, row_groups=list(groups), columns=names)
            return
        for group in groups:
            self._object.fetch(self._ranges(group, columns) + self._ranges(group + 1, columns))
            yield from self._file.iter_batches(rows, row_groups=[group], columns=names)

    def _ranges(self, group: int, columns: Collection[str] | None) -> list[tuple[int, int]]:
        """Offset and length of what is needed of a row group; none if it is too large to hold."""
        if group >= self.num_row_groups:
            return []
        spans = []
        row_group = self.metadata.row_group(group)
        for index in range(row_group.num_columns):
            column = row_group.column(index)
            if columns is None or is_part_of(column, columns):
                start = column.dictionary_page_offset or column.data_page_offset
                spans.append((start, start + column.total_compressed_size))
        joined: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if joined and start - joined[-1][1] <= _GAP_BYTES:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        held = sum(end - start for start, end in joined)
        return [(start, end - start) for start, end in joined] if held <= _MOST_AHEAD else []

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        if self._object is not None:
            self._object.close()

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()


def is_part_of(column: pq.ColumnChunkMetaData, parts: Collection[str]) -> bool:
    """Whether a stored column belongs to one of the columns, or parts of them, that are named."""
    return any(f"{column.path_in_schema}.".startswith(f"{part}.") for part in parts)
