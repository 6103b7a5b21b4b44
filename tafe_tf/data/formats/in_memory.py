"""Tables in memory: taken from any library, read like files, and kept as Parquet."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.atomic import replacing
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.bounded import chunks_of
from tafe_tf.data.formats.reader import Chunk, Wanted, check_types
from tafe_tf.data.formats.write_tables import ParquetTables
from tafe_tf.data.spelling.any_column import is_of_pandas, to_arrow_array
from tafe_tf.data.spelling.plain import is_list
from tafe_tf.schema import Dtype, Schema
from tafe_tf.shown import cut

_GROUP_ROWS = 1 << 16  # rows of a Parquet row group, as many as a block has
_SMALL = 1 << 31  # bytes; 32-bit offsets reach as far


@dataclasses.dataclass(frozen=True)
class ArrowRows:
    """Rows in memory, which stand where the path of a file may stand.

    Attributes:
        name: What error messages call these rows, as in "<name>: row 7, column 'hour': ...".
        table: The rows, as `to_arrow` gives them.
        before: How many rows come before these where they are from; numbers of rows go on from
            there. Default: 0.
    """

    name: str
    table: pa.Table
    before: int = 0

    def __str__(self) -> str:
        return self.name


def read(
    source: ArrowRows,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    """Reads columns of a table in their own types, see `reader.Reader`.

    Raises:
        DataError: If a column is missing or doubled, or holds lists where one value belongs, or the
            reverse.
    """
    table = source.table
    check_types(source, table.schema, wanted.names, wanted.lists)
    done = min(skip, table.num_rows)
    if done:
        yield Chunk(None, source.before + np.arange(1, done + 1), [])
    yield from chunks_of(
        table.to_batches(),
        wanted,
        done=source.before + done,
        skip=done,
    )


def to_arrow(
    rows: Any,
    name: str,
    schema: Schema | None = None,
) -> pa.Table:
    """Takes a table of any library as an Arrow table.

    The types are those that a Parquet file keeps, and that all libraries have in common: texts and
    lists have 32-bit offsets where these suffice, categories become their values, and times in
    seconds are in milliseconds. So the same rows give the same table, whatever library they come
    from, as far as the types of its numbers agree. Python values of several kinds in one column
    become texts, see `tafe_tf.data.spelling.objects`.

    Args:
        rows: A pandas or Polars DataFrame, a pyarrow Table or RecordBatch, any other object with an
            Arrow stream (`__arrow_c_stream__`), or a mapping of column names to arrays or lists of
            equal length. A list or an array of two dimensions makes a column of lists. None, NaN,
            NaT and pandas.NA are missing values. The index of a DataFrame is left out.
        name: What error messages call these rows.
        schema: Says which columns are read as numbers, which more kinds of Python values may be
            mixed for. Default: None, texts only.

    Raises:
        DataError: If `rows` is no table, has no rows, has a column twice, or has a column that is
            of another length, has no Arrow type, or mixes values that have no one meaning.

    Example:
        >>> to_arrow({"item": [1, None], "tags": [["a", "b"], []]}, "rows").schema
        item: int64
        tags: list<item: string>
          child 0, item: string
    """
    columns = _columns(rows, name, schema)
    for column, values in columns.items():
        columns[column] = _simplified(values, name, column)
    lengths = {column: len(values) for column, values in columns.items()}
    first = next(iter(columns), "")
    for column, length in lengths.items():
        if length != lengths[first]:
            rule = f"must have {lengths[first]} values, as many as column {first!r}"
            raise DataError(f"{name}: column {column!r} {rule}. Received: {length}")
    if not any(lengths.values()):
        raise DataError(f"{name}: holds no rows")
    return pa.table(columns)


def write_parquet(path: str | pathlib.Path, table: pa.Table) -> None:
    """Writes a table as a Parquet file, atomically.

    The same rows of the same types give the same bytes. What is read back equals the table if it
    comes from `to_arrow`.

    Raises:
        DataError: If a column has a type that Parquet does not know.
    """
    try:
        with replacing(path) as temporary, ParquetTables(temporary, table.schema) as file:
            for start in range(0, table.num_rows, _GROUP_ROWS):
                group = table.slice(start, _GROUP_ROWS)
                file.append(group.combine_chunks())
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be written: {error}") from None


def _columns(
    rows: Any,
    name: str,
    schema: Schema | None,
) -> dict[str, pa.ChunkedArray | pa.Array]:
    """The columns of a table as Arrow arrays, not yet of common types."""
    if isinstance(rows, Mapping):
        names = list(rows)
        given = list(rows.values())
    elif _is_pandas(rows):
        names = list(rows.columns)
        given = [rows.iloc[:, i] for i in range(len(names))]
    elif hasattr(rows, "get_columns"):  # Polars, whose columns of objects have no Arrow type
        names = rows.columns
        given = rows.get_columns()
    else:
        table = _table(rows, name)
        names = table.schema.names
        given = table.columns
    names = [str(column) for column in names]
    check_columns(name, list(dict.fromkeys(names)), names)
    dtypes: dict[str, Dtype] = {}
    if schema is not None:
        dtypes = {column.name: column.dtype for column in schema.columns}
    columns = {}
    for column, values in zip(names, given, strict=True):
        columns[column] = to_arrow_array(values, column, name, dtypes.get(column))
    return columns


def _is_pandas(rows: Any) -> bool:
    is_frame = type(rows).__name__ == "DataFrame"
    return is_frame and is_of_pandas(rows)


def _table(rows: Any, name: str) -> pa.Table:
    """A table of Arrow's own, or of a library that can give one."""
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return rows
    try:
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
        if hasattr(rows, "to_arrow"):
            return rows.to_arrow()
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{name}: cannot be read as a table: {error}") from None
    kinds = "a pandas or Polars DataFrame, a pyarrow Table, or a mapping of names to arrays"
    raise DataError(f"{name}: must be {kinds}. Received: {type(rows)}")


def _simplified(
    values: pa.Array | pa.ChunkedArray,
    name: str,
    column: str,
) -> pa.Array | pa.ChunkedArray:
    """The same values in a type that Parquet keeps as it is."""
    kind = _simplified_type(values.type, small=values.nbytes < _SMALL)
    if kind == values.type:
        return values
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    try:
        simple = [_cast(chunk, kind) for chunk in chunks]
        return pa.chunked_array(simple, kind)
    except pa.ArrowException as error:
        reason = f"cannot be read as {kind}: {cut(str(error))}"
        raise DataError(f"{name}: column {column!r} {reason}") from None


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values as another type; categories become their values."""
    if pa.types.is_dictionary(values.type):
        return _cast(values.dictionary, kind).take(values.indices)
    if pa.types.is_run_end_encoded(values.type):
        return _cast(pc.run_end_decode(values), kind)
    if _is_list_view(values.type):
        return pa.array(values.to_pylist(), kind)  # Arrow 25 casts views with nulls wrongly
    return values.cast(kind)


def _simplified_type(kind: pa.DataType, small: bool) -> pa.DataType:
    """The type to which values of a type are cast.

    Args:
        kind: The type.
        small: Whether 32-bit offsets suffice.
    """
    if pa.types.is_dictionary(kind):
        return _simplified_type(kind.value_type, small)
    if pa.types.is_run_end_encoded(kind):
        return _simplified_type(kind.value_type, small)
    if is_list(kind):
        of = _simplified_type(kind.value_type, small)
        return pa.list_(of) if small else pa.large_list(of)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string() if small else pa.large_string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary() if small else pa.large_binary()
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if kind == pa.time32("s"):
        return pa.time32("ms")
    if pa.types.is_date64(kind):
        return pa.date32()
    return kind


def _is_list_view(kind: pa.DataType) -> bool:
    is_small = pa.types.is_list_view(kind)
    is_large = pa.types.is_large_list_view(kind)
    return bool(is_small or is_large)
