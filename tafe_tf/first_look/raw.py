"""The rows of a data set as its files have them, every column of them, whatever the format."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS, extension_of
from tafe_tf.data.formats.reader import Wanted

_READ_BYTES = 1 << 22
_HEAD_ROWS = 1000
_EXAMPLES = 1000  # TFRecord has no header: so many records tell the columns


@dataclasses.dataclass(frozen=True)
class RawRows:
    """The rows of one split.

    Attributes:
        files: The files that were read, in order.
        table: Their rows. A map "x" is two columns of lists, "x.key" and "x.value", and a struct
            has a column for each of its fields.
        heads: A few rows of each file that can be read, by its path, with the columns it has.
        is_cut: Whether the files hold more rows than were asked for.
        problems: The files that cannot be read, or not to their end, each with the reason.
    """

    files: tuple[str, ...]
    table: pa.Table
    heads: dict[str, pa.Table]
    is_cut: bool
    problems: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """The columns that any of the files has."""
        return {name for head in self.heads.values() for name in head.schema.names}


def read_rows(files: Sequence[str], max_rows: int) -> RawRows:
    """Reads the first rows of all columns of some files.

    A file that cannot be read is reported and passed over.

    Args:
        files: The paths.
        max_rows: How many rows to read at most, of all files together.
    """
    tables: list[pa.Table] = []
    heads: dict[str, pa.Table] = {}
    problems: list[str] = []
    left = max_rows
    for path in files:
        try:
            table = read_file(path, max(left, 0) + 1)
        except DataError as error:
            problems.append(str(error))
            continue
        heads[path] = table.slice(0, _HEAD_ROWS)
        if left >= 0:
            tables.append(table)
        left -= table.num_rows
    return RawRows(
        files=tuple(files),
        table=_together(tables).slice(0, max_rows),
        heads=heads,
        is_cut=left < 0,
        problems=tuple(problems),
    )


def read_file(path: str, max_rows: int) -> pa.Table:
    """Reads the first rows of all columns of a file.

    Args:
        path: The file.
        max_rows: How many rows to read at most.

    Raises:
        DataError: If the file cannot be read.
    """
    kind = _kind_of(path)
    try:
        batches = _BATCHES[kind](path, max_rows)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    table = batches.slice(0, max_rows)
    return _flat(table)


def _kind_of(path: str) -> str:
    """The format of a file: "csv", "parquet" or "tfrecord"."""
    _, kind, *_ = extension_of(path).split(".")
    return "csv" if kind == "tsv" else kind


def delimiter_of(path: str) -> str:
    """The character between the cells of a CSV file; "" for other formats."""
    return "," if _kind_of(path) == "csv" else ""


def _csv(path: str, max_rows: int) -> pa.Table:
    """All cells as texts; rows of a wrong width are left out here, and reported elsewhere."""
    options: dict[str, Any] = {
        "read_options": pacsv.ReadOptions(block_size=_READ_BYTES),
        "parse_options": pacsv.ParseOptions(
            newlines_in_values=True,
            invalid_row_handler=lambda row: "skip",
        ),
    }
    names = pacsv.open_csv(path, **options).schema.names
    texts = pacsv.ConvertOptions(column_types={name: pa.string() for name in names})
    reader = pacsv.open_csv(path, convert_options=texts, **options)
    return _first_rows(reader, reader.schema, max_rows)


def _parquet(path: str, max_rows: int) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return _first_rows(file.iter_batches(), file.schema_arrow, max_rows)


def _first_rows(
    batches: Any,
    schema: pa.Schema,
    max_rows: int,
) -> pa.Table:
    """The first batches that hold so many rows together; of a damaged file those before."""
    found: list[pa.RecordBatch] = []
    rows = 0
    try:
        for batch in batches:
            found.append(batch)
            rows += batch.num_rows
            if rows >= max_rows:
                break
    except (pa.ArrowException, OSError, EOFError):
        if not rows:
            raise  # what stands before the damage is worth a look
    return pa.Table.from_batches(found, schema)


def _tfrecord(path: str, max_rows: int) -> pa.Table:
    """Features that hold more than one value in any of the first records are lists."""
    from tafe_tf.data.formats import tfrecord_files
    from tafe_tf.first_look import tfrecord_columns

    names, lists = tfrecord_columns.find(path, _EXAMPLES)
    wanted = Wanted(
        names=names,
        lists=lists,
        block_rows=min(max_rows, BLOCK_ROWS),
    )
    tables = []
    for chunk in tfrecord_files.read(path, wanted, 0):
        tables.append(pa.table(chunk.columns))
        max_rows -= len(chunk.rows)
        if max_rows <= 0:
            break
    return _together(tables)


_BATCHES = {
    "csv": _csv,
    "parquet": _parquet,
    "tfrecord": _tfrecord,
}


def _flat(table: pa.Table) -> pa.Table:
    """Maps and structs as columns of their own, named with a dot."""
    names: list[str] = []
    columns: list[pa.ChunkedArray] = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        for below, values in _parts(name, column):
            names.append(below)
            columns.append(values)
    return pa.Table.from_arrays(columns, names) if names else table


def _parts(name: str, column: pa.ChunkedArray) -> list[tuple[str, pa.ChunkedArray]]:
    kind = column.type
    if pa.types.is_map(kind):
        chunks = column.chunks
        keys = [_lists_like(chunk, chunk.keys) for chunk in chunks]
        items = [_lists_like(chunk, chunk.items) for chunk in chunks]
        return [
            (f"{name}.key", pa.chunked_array(keys, pa.list_(kind.key_type))),
            (f"{name}.value", pa.chunked_array(items, pa.list_(kind.item_type))),
        ]
    if pa.types.is_struct(kind):
        fields = zip(kind, column.flatten(), strict=True)
        return [(f"{name}.{field.name}", values) for field, values in fields]
    return [(name, column)]


def _lists_like(maps: pa.MapArray, values: pa.Array) -> pa.ListArray:
    """The keys or the items of maps, a list for each map."""
    lengths = np.diff(maps.offsets.to_numpy())
    if maps.null_count:
        is_null = maps.is_null().to_numpy(zero_copy_only=False)
        lengths = np.where(is_null, 0, lengths)
    ends = np.cumsum(lengths)
    offsets = pa.array(np.append(0, ends), pa.int32())
    first = maps.offsets[0].as_py() if len(maps) else 0
    start = values.slice(first) if len(values) != ends[-1:].sum() else values
    return pa.ListArray.from_arrays(offsets, start)


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows; a column that a file lacks is missing there.

    Columns whose name stands more than once in a file are left out: no schema can mean one of them.
    """
    tables = [_with_distinct_names(table) for table in tables]
    if not tables:
        return pa.table({})
    names = list(dict.fromkeys(name for table in tables for name in table.schema.names))
    columns = {}
    for name in names:
        pieces = []
        for table in tables:
            if name in table.schema.names:
                pieces += table.column(name).chunks
            else:
                pieces.append(pa.nulls(table.num_rows))
        columns[name] = one_type(pieces)
    return pa.table(columns)


def _with_distinct_names(table: pa.Table) -> pa.Table:
    names = table.schema.names
    kept = [index for index, name in enumerate(names) if names.count(name) == 1]
    return table.select(kept)


def one_type(pieces: Sequence[pa.Array]) -> pa.ChunkedArray:
    """Arrays as one, of the type that they share, and as texts where they share none."""
    types = {piece.type for piece in pieces if not pa.types.is_null(piece.type)}
    if not types:
        return pa.chunked_array(pieces, pa.null())
    kind = next(iter(types))
    if len(types) > 1:
        fields = [pa.schema([pa.field("x", kind)]) for kind in types]
        try:
            kind = pa.unify_schemas(fields, promote_options="permissive").field(0).type
        except pa.ArrowException:
            kind = pa.string()
    return pa.chunked_array([piece.cast(kind) for piece in pieces], kind)
