"""The rows of a data set as its files have them, every column of them, whatever the format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from tafe_tf.data.bad_rows import WHOLE_ROW
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.nested import column_at
from tafe_tf.data.formats.orc_files import OrcFile
from tafe_tf.data.formats.parquet_ranges import ParquetFile
from tafe_tf.data.formats.partitions import add_keys
from tafe_tf.data.formats.read import BLOCK_ROWS
from tafe_tf.data.formats.reader import Chunk, Wanted
from tafe_tf.data.spelling.plain import is_list
from tafe_tf.first_look.dialect import Dialect, header_of, wanted_of

_HEAD_ROWS = 1000
_EXAMPLES = 1000  # TFRecord has no header: so many records tell the columns


@dataclasses.dataclass(frozen=True)
class RawRows:
    """The rows of one split.

    Attributes:
        files: The files that were read, in order.
        table: Their rows. A map "x" is two columns of lists, "x.key" and "x.value"; a struct, or a
            list of structs, has a column for each of its fields.
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


def read_rows(
    files: Sequence[str],
    max_rows: int,
    dialect: Dialect | None = None,
) -> RawRows:
    """Reads the first rows of all columns of some files.

    A file that cannot be read is reported and passed over.

    Args:
        files: The paths.
        max_rows: How many rows to read at most, of all files together.
        dialect: How CSV files are written. By default that is found out.
    """
    dialect = dialect or Dialect()
    tables: list[pa.Table] = []
    heads: dict[str, pa.Table] = {}
    problems: list[str] = []
    left = max_rows
    for path in files:
        try:
            table = read_file(path, max(left, 0) + 1, dialect)
        except DataError as error:
            problems.append(str(error))
            continue
        if table.num_rows == 0:  # an empty part among full ones
            continue
        heads[path] = table.slice(0, _HEAD_ROWS)
        if left >= 0:
            tables.append(table)
        left -= table.num_rows
    if not heads and not problems:
        problems.append(f"{', '.join(files)}: holds no rows")
    return RawRows(
        files=tuple(files),
        table=_together(tables, max_rows),
        heads=heads,
        is_cut=left < 0,
        problems=tuple(problems),
    )


def read_file(
    path: str,
    max_rows: int,
    dialect: Dialect,
) -> pa.Table:
    """Reads the first rows of all columns of a file, with the keys of its folders.

    Args:
        path: The file.
        max_rows: How many rows to read at most.
        dialect: How CSV files are written.

    Raises:
        DataError: If the file cannot be read, or a key of its folders is a column of it as well.
    """
    read = _READERS[format_of(path)]
    try:
        batches = read(path, max_rows, dialect)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not batches.num_columns:  # a slice of it would have rows
        return pa.table({})
    return add_keys(path, _flat(batches.slice(0, max_rows)))


def _csv(
    path: str,
    max_rows: int,
    dialect: Dialect,
) -> pa.Table:
    """All cells as texts; rows of a wrong width are left out here, and reported elsewhere."""
    header = header_of(path, dialect)
    if header is None:
        return pa.table({})
    names, delimiter = header
    once = [name for name in names if names.count(name) == 1]
    wanted = wanted_of(once, Dialect(delimiter, dialect.quote), max_rows)
    table = _first_chunks(csv_files.read(path, wanted, 0), once, max_rows)
    for name in names:
        if name not in once:  # a column that no schema can mean stands there without values
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table


def _first_chunks(
    chunks: Iterator[Chunk],
    names: Sequence[str],
    max_rows: int,
) -> pa.Table:
    """The rows of the first chunks that hold so many; of a damaged file those before the damage."""
    tables: list[pa.Table] = []
    rows = 0
    try:
        for chunk in chunks:
            of_wrong_width = sum(problem.column == WHOLE_ROW for problem in chunk.problems)
            table = pa.table(chunk.columns)
            table = table.slice(0, table.num_rows - of_wrong_width)  # they stand at the end
            tables.append(table)
            rows += table.num_rows
            if rows >= max_rows:
                break
    except DataError:
        if not rows:
            raise
    empty = pa.table({name: pa.nulls(0, pa.string()) for name in names})
    return pa.concat_tables(tables) if tables else empty


def _parquet(
    path: str,
    max_rows: int,
    dialect: Dialect,
) -> pa.Table:
    with ParquetFile(path) as file:
        return _first_rows(file.batches(min(max_rows, BLOCK_ROWS)), file.schema_arrow, max_rows)


def _orc(
    path: str,
    max_rows: int,
    dialect: Dialect,
) -> pa.Table:
    with OrcFile(path) as file:
        return _first_rows(file.batches(), file.schema, max_rows)


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


def _tfrecord(
    path: str,
    max_rows: int,
    dialect: Dialect,
) -> pa.Table:
    """Features that hold more than one value in any of the first records are lists."""
    from tafe_tf.data.formats import tfrecord_files
    from tafe_tf.first_look import tfrecord_columns

    names, lists = tfrecord_columns.find(path, _EXAMPLES)
    wanted = Wanted(
        names=names,
        lists=lists,
        block_rows=min(max_rows, BLOCK_ROWS),
    )
    tables: list[pa.Table] = []
    rows = 0
    for chunk in tfrecord_files.read(path, wanted, 0):
        tables.append(pa.table(chunk.columns))
        rows += len(chunk.rows)
        if rows >= max_rows:
            break
    return _together(tables, max_rows)


_READERS: dict[str, Callable[[str, int, Dialect], pa.Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".orc": _orc,
    ".tfrecord": _tfrecord,
}


def _flat(table: pa.Table) -> pa.Table:
    """Maps and structs as columns of their own, named with a dot as in a schema."""
    names: list[str] = []
    columns: list[Any] = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        parts = _parts(name, column.type)
        is_plain = parts == [name]
        for part in parts:
            names.append(part)
            columns.append(column if is_plain else column_at(table, part))
    return pa.Table.from_arrays(columns, names) if names else table


def _parts(name: str, kind: pa.DataType) -> list[str]:
    """The names of what lies in a column; its own name if it is neither a map nor a struct."""
    if pa.types.is_map(kind):
        return [f"{name}.key", f"{name}.value"]
    inner = kind.value_type if is_list(kind) else kind
    if not pa.types.is_struct(inner):
        return [name]
    found = []
    for field in inner:
        found += _parts(f"{name}.{field.name}", field.type)
    return found


def _together(tables: Sequence[pa.Table], max_rows: int) -> pa.Table:
    """One table of the first rows; a column that a file lacks is missing there.

    Columns whose name stands more than once in a file are left out: no schema can mean one of them.
    """
    tables = [_with_distinct_names(table) for table in tables if table.num_rows]
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
    return pa.table(columns).slice(0, max_rows)


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
