"""Numbers of Arrow arrays that hold numbers of any width, texts, dates or dictionaries."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.schema import Column

_MISSING_TEXTS = pa.array(
    [
        "",
        "NA",
        "N/A",
        "NaN",
        "nan",
        "null",
        "NULL",
        "None",
    ]
)
_NUMBER_TYPES = {
    "int64": pa.int64(),
    "float32": pa.float64(),
    "float64": pa.float64(),
}


def is_binary(array: pa.Array) -> bool:
    """Whether an array holds bytes, with offsets of 32 or 64 bits."""
    is_small = pa.types.is_binary(array.type)
    is_large = pa.types.is_large_binary(array.type)
    return bool(is_small or is_large)


def numbers(
    array: pa.Array,
    column: Column,
    problems: list[Problem],
    owner: np.ndarray,
) -> pa.Array:
    """Casts an array to the numbers of a column.

    Dates and times become the number of their own unit since 1970-01-01 or midnight.

    Args:
        array: The values, [n].
        column: Says to which type.
        problems: Receives a problem for each value that is no such number; it becomes null.
        owner: The row of each value in its block, [n], for the problems.

    Raises:
        pa.ArrowNotImplementedError: if the array is of a type that cannot hold numbers.
    """
    target = _NUMBER_TYPES[column.dtype]
    array = _plain(array)
    if pa.types.is_floating(array.type) and target == pa.int64():
        is_nan = pc.is_nan(array)
        array = pc.if_else(is_nan, None, array)
    if pa.types.is_string(array.type):
        whole = _cast_texts(array, target)
        if whole is None:
            is_missing = pc.is_in(array, _MISSING_TEXTS)
            array = pc.if_else(is_missing, None, array)
            whole = _cast_texts(array, target)
    else:
        whole = _cast(array, target)
    if whole is not None:
        return whole
    rule = "must be an integer" if target == pa.int64() else "must be a number"
    pieces = []
    for place in range(len(array)):
        one = array.slice(place, 1)
        piece = _cast(one, target)
        if piece is None:
            piece = pa.nulls(1, target)
            problems.append(
                Problem(
                    int(owner[place]),
                    column.name,
                    rule,
                    array[place].as_py(),
                )
            )
        pieces.append(piece)
    return pa.concat_arrays(pieces)


def _plain(array: pa.Array) -> pa.Array:
    """Dictionaries as their values, dates and times as integers, bytes and texts as strings."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    has_32_bits = pa.types.is_date32(array.type) or pa.types.is_time32(array.type)
    if has_32_bits:
        array = array.cast(pa.int32())
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.int64())
    if is_binary(array):
        array = _decode(array)
    is_large = pa.types.is_large_string(array.type)
    if is_large or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def _decode(array: pa.Array) -> pa.Array:
    """Bytes as text; what is not UTF-8 becomes a text that is no number."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        texts = []
        for value in array.to_pylist():
            if value is not None:
                value = value.decode(errors="backslashreplace")
            texts.append(value)
        return pa.array(texts)


def _cast_texts(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Casts texts as `_cast` does, but keeps all digits of an integer that stands beside a "3.0".

    Cast as one, they would all go through float64, which holds no more than 15 digits.
    """
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        matches = pc.match_substring_regex(array, r"^-?\d+$")
        are_digits = pc.fill_null(matches, False)
    digits = pc.if_else(are_digits, array, None)
    integers = _cast(digits, target)
    rest = pc.if_else(are_digits, None, array)
    others = _cast(rest, target)
    if integers is None or others is None:
        return None
    return pc.coalesce(integers, others)


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """The array as numbers, or None if some value is no number."""
    # "3.0" is an integer as well: libraries that know no missing integer write integers so.
    for through in (target, pa.float64()):
        try:
            return array.cast(through).cast(target)
        except pa.ArrowInvalid:
            continue
    return None
