"""One Arrow column -> one NumPy column, with the dtype's own value for what is missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.spelling.lists import split
from tafe_tf.data.spelling.plain import is_bytes
from tafe_tf.data.spelling.values import spelled
from tafe_tf.schema import ABSENT, Column

_NO_LENGTHS = np.zeros(0, np.int64)


class Converted(NamedTuple):
    """A column of n rows as NumPy has it.

    Attributes:
        values: [n], or [n, max_length] for lists; missing values and padding are the dtype's
            `ABSENT`, as bytes where the values are bytes.
        lengths: How many values each list had before it was cut, int64 [n]; empty if the column has
            no lists.
    """

    values: np.ndarray
    lengths: np.ndarray = _NO_LENGTHS


def to_column(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    problems: list[Problem],
    source: str,
) -> Converted:
    """Converts one column to NumPy.

    Args:
        array: The values, or lists of them, [n].
        column: Their dtype, and for lists the length to which they are cut or padded.
        missing: The texts that mean a missing value.
        problems: Receives a problem for each value that the dtype cannot hold.
        source: The file or the table, for messages.

    Raises:
        DataError: If the array is of a type that has no values of the dtype.
    """
    if column.max_length:
        return to_lists(array, column, missing, problems, source, column.max_length)
    rows = np.arange(len(array))
    found = spelled(array, column, missing, problems, rows, source)
    return Converted(_filled(found, column))


def to_lists(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    problems: list[Problem],
    source: str,
    width: int = 0,
) -> Converted:
    """Converts one column of lists to NumPy; see `to_column`.

    Args:
        array: Lists, or texts that are split into lists, [n].
        column: Their dtype and separator.
        missing: The texts that mean a missing value.
        problems: Receives a problem for each value that the dtype cannot hold.
        source: The file or the table, for messages.
        width: The length to which lists are cut or padded. Default: 0, that of the longest list,
            and at least 1.
    """
    flat, lengths = split(array, column, missing, source)
    width = width or max(1, lengths.max(initial=0))
    rows = np.arange(len(lengths))
    owner = np.repeat(rows, lengths)
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(owner))
    place -= np.repeat(starts, lengths)
    if column.keep == "last":
        too_many = np.maximum(lengths - width, 0)
        place -= np.repeat(too_many, lengths)
    found = spelled(flat, column, missing, problems, owner, source)
    values = _filled(found, column)
    shape = (len(lengths), width)
    padded = np.full(shape, _absent(found, column), values.dtype)
    kept = (place >= 0) & (place < width)
    padded[owner[kept], place[kept]] = values[kept]
    return Converted(padded, lengths)


def is_present(values: np.ndarray) -> np.ndarray:
    """Where a column as `to_column` gives it has values, in the shape of the column."""
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    if values.dtype.kind == "O":
        return np.asarray((values != "") & (values != b""))
    return values != ABSENT["int64"]


def _absent(found: pa.Array, column: Column) -> str | bytes | float:
    absent: str | float = ABSENT[column.dtype]
    return b"" if is_bytes(found.type) else absent


def _filled(found: pa.Array, column: Column) -> np.ndarray:
    """The values as NumPy has them, with the dtype's own in place of each that is missing."""
    if found.null_count:
        found = pc.fill_null(found, _absent(found, column))
    return found.to_numpy(zero_copy_only=False)
