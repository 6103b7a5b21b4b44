"""Key columns, passed through unread so that scores can be joined back to their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.numbers import is_binary, numbers
from tafe_tf.data.errors import DataError
from tafe_tf.schema import Column

_TYPES = {
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


def keep_column(
    array: pa.Array,
    column: Column | None,
    problems: list[Problem],
    path: str,
) -> pa.Array:
    """Gives a column of one value a row as an Arrow array.

    Args:
        array: The column as the file has it, [n].
        column: What the schema says of it. The result is then of its dtype, and null where a value
            is missing. None leaves the values as they are, and only decodes a dictionary.
        problems: Receives a problem for each value that the dtype cannot hold.
        path: The file, for messages.

    Raises:
        DataError: If the column is of a type that has no values of the dtype.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column is None:
        return array
    try:
        if column.dtype == "string":
            texts = _texts(array, column, problems)
            is_empty = pc.equal(texts, "")
            return pc.if_else(is_empty, None, texts)
        found = numbers(
            array,
            column,
            problems,
            np.arange(len(array)),
        )
    except pa.ArrowNotImplementedError as error:
        reason = f"cannot be read as {column.dtype}: {error}"
        raise DataError(f"{path}: column {column.name!r} {reason}") from None
    if pa.types.is_floating(found.type):
        is_nan = pc.is_nan(found)
        found = pc.if_else(is_nan, None, found)
    return found.cast(_TYPES[column.dtype], safe=False)


def _texts(
    array: pa.Array,
    column: Column,
    problems: list[Problem],
) -> pa.Array:
    """The values as texts; bytes that are not UTF-8 become null and a problem."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        if not is_binary(array):
            raise
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
