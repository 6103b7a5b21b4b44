"""Key columns, passed through unread so that scores can be joined back to their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.spelling.plain import is_bytes, plain
from tafe_tf.data.spelling.time_column import kept_times, note_wrong
from tafe_tf.data.spelling.values import spelled
from tafe_tf.schema import Column, Schema


def keep_column(
    array: pa.Array,
    column: Column | None,
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> pa.Array:
    """Gives a column of one value a row as an Arrow array.

    Args:
        array: The column as the file has it, [n].
        column: What the schema says of it. The result is then of its dtype, and null where a value
            is missing; a column that is only the time keeps its bits, see `Block.time`. None leaves
            the values as they are, and only decodes a dictionary.
        schema: Says which column is the time, and which texts mean a missing value.
        problems: Receives a problem for each value that the dtype cannot hold.
        path: The file, for messages.

    Raises:
        DataError: If the column is of a type that has no values of the dtype.
    """
    if column is None:
        return plain(array)
    if column.name in schema.only_time:
        found, wrong = kept_times(array, column.name, schema.missing, path)
        note_wrong(array, wrong, column.name, problems)
        return found
    rows = np.arange(len(array))
    found = spelled(array, column, schema.missing, problems, rows, path)
    if column.dtype == "string":
        return _texts(found, column, problems)
    if pa.types.is_floating(found.type):
        is_nan = pc.is_nan(found)
        found = pc.if_else(is_nan, None, found)
    return found


def _texts(
    array: pa.Array,
    column: Column,
    problems: list[Problem],
) -> pa.Array:
    """The values as texts; bytes that are not UTF-8 become null and a problem."""
    if not is_bytes(array.type):
        return array
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        pass
    rule = "a key must be UTF-8 text"
    texts: list[str | None] = []
    for index, value in enumerate(array.to_pylist()):
        if value is None:
            texts.append(None)
            continue
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            texts.append(None)
            problems.append(Problem(index, column.name, rule, value))
    return pa.array(texts, pa.string())
