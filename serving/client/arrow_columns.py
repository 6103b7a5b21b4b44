"""Columns that pyarrow converts, by the rules of the files that training reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.to_column import to_column, to_lists
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.nested import column_at, root_of, type_at
from tafe_tf.data.spelling.any_column import is_of_pandas, to_arrow_array
from tafe_tf.data.spelling.numbers import numbers_that_are_missing
from tafe_tf.schema import ABSENT, Column
from tafe_tf.serving.client.columns import InputType
from tafe_tf.serving.wire.errors import ServingError, invalid
from tafe_tf.shown import shown

_SOURCE = "the request"
_ROWS_AT_ONCE = 1 << 16  # between two looks at the clock: 0.2 s for lists of Python's texts


def inside(named: Mapping[str, Any], column: str) -> pa.Array | None:
    """What a dotted name finds inside a column of maps or structs; None if it finds nothing.

    Args:
        named: The columns by name.
        column: The dotted name.

    Raises:
        ServingError: INVALID_ARGUMENT, if the column that the name begins with is no column.
    """
    root = root_of(named, column)
    if root not in named:
        return None
    try:
        table = pa.table({root: to_arrow_array(named[root], root, _SOURCE)})
    except DataError as error:
        raise invalid(str(error)) from None
    if type_at(table.schema, column) is None:
        return None
    return column_at(table, column)


@functools.lru_cache
def names_a_number(missing: tuple[str, ...], kind: str) -> bool:
    """Whether a text that means a missing value is a number of a NumPy kind, "i" or "f"."""
    target = pa.int64() if kind == "i" else pa.float64()
    return len(numbers_that_are_missing(missing, target)) > 0


def to_array(
    name: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
    check: Callable[[], None],
) -> np.ndarray:
    """Converts a column, with the error texts of the files that training reads.

    Args:
        name: The column's name, for messages.
        values: The column, of any library.
        wanted: What the signature takes.
        missing: The texts that mean a missing value.
        check: Is called between parts of the work, and raises to end it.

    Returns:
        [n], or [n, length] for lists.

    Raises:
        ServingError: INVALID_ARGUMENT, with the column and, where one value is wrong, its row.
    """
    if is_of_pandas(values) and str(getattr(values, "dtype", "")) == "object":
        values = values.tolist()
    if not _is_long(values):
        return _at_once(name, values, wanted, missing)
    parts = []
    try:
        for start in range(0, len(values), _ROWS_AT_ONCE):
            check()
            part = values[start : start + _ROWS_AT_ONCE]
            parts.append(_at_once(name, part, wanted, missing))
    except ServingError:
        check()  # raises again if the time was what ended it
        return _at_once(name, values, wanted, missing)  # counts the rows from the first one
    return _joined(parts, wanted)


def _is_long(values: Any) -> bool:
    """Whether a column takes a time to convert, and can be cut."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0 and len(values) > _ROWS_AT_ONCE
    return isinstance(values, list | tuple) and len(values) > _ROWS_AT_ONCE


def _joined(parts: list[np.ndarray], wanted: InputType) -> np.ndarray:
    """The parts of a column below each other; lists become as long as the longest."""
    rows = sum(map(len, parts))
    width = max(part.shape[-1] for part in parts)
    shape = (rows,) if wanted.rank == 1 else (rows, width)
    joined = np.full(shape, ABSENT[wanted.name], wanted.dtype)
    start = 0
    for part in parts:
        here = joined[start : start + len(part)]
        target = here if wanted.rank == 1 else here[:, : part.shape[1]]
        target[...] = part
        start += len(part)
    return joined


def _at_once(
    name: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
) -> np.ndarray:
    column = Column(name=name, dtype=wanted.name, separator=wanted.separator)  # type: ignore[arg-type]
    problems: list[Problem] = []
    try:
        array = _arrow(values, column)
        if wanted.rank == 2:
            found = to_lists(array, column, missing, problems, _SOURCE)
        else:
            found = to_column(array, column, missing, problems, _SOURCE)
    except DataError as error:
        raise invalid(str(error)) from None
    if problems:
        first = problems[0]
        where = f"column {name!r}, row {first.index + 1}"
        raise invalid(f"{where}: {first.rule}. Received: {shown(first.value)}")
    return found.values


def _arrow(values: Any, column: Column) -> pa.Array:
    array = to_arrow_array(values, column.name, _SOURCE, column.dtype)
    if isinstance(array, pa.ChunkedArray):
        return array.combine_chunks()
    return array
