"""Arrow arrays as numbers: texts, other widths, dates and dictionaries included."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.schema import Column

_MISSING_TEXTS = pa.array(["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"])
_NUMBER_TYPES = {"int64": pa.int64(), "float32": pa.float64(), "float64": pa.float64()}


def is_binary(array: pa.Array) -> bool:
    """Whether the array holds bytes."""
    return bool(pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type))


def numbers(
    array: pa.Array, column: Column, problems: list[Problem], owner: np.ndarray
) -> pa.Array:
    """Casts to numbers; what is no number becomes null and a problem."""
    target = _NUMBER_TYPES[column.dtype]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_date32(array.type) or pa.types.is_time32(array.type):
        array = array.cast(pa.int32())
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.int64())
    if is_binary(array):
        array = _decode(array)
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    if pa.types.is_floating(array.type) and target == pa.int64():
        array = pc.if_else(pc.is_nan(array), None, array)
    if pa.types.is_string(array.type):
        whole = _cast_texts(array, target)
        if whole is None:
            array = pc.if_else(pc.is_in(array, _MISSING_TEXTS), None, array)
            whole = _cast_texts(array, target)
    else:
        whole = _cast(array, target)
    if whole is not None:
        return whole
    rule = "must be an integer" if target == pa.int64() else "must be a number"
    pieces = []
    for place in range(len(array)):
        piece = _cast(array.slice(place, 1), target)
        if piece is None:
            problems.append(Problem(int(owner[place]), column.name, rule, array[place].as_py()))
        pieces.append(pa.nulls(1, target) if piece is None else piece)
    return pa.concat_arrays(pieces)


def _decode(array: pa.Array) -> pa.Array:
    """Bytes as text; what is not UTF-8 becomes a text that is no number."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array(
            [None if x is None else x.decode(errors="backslashreplace") for x in array.to_pylist()]
        )


def _cast_texts(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """As `_cast`; an integer beside a "3.0" keeps all its digits, of which a float64 has no more than 15."""
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        digits = pc.fill_null(pc.match_substring_regex(array, r"^-?\d+$"), False)
    parts = [_cast(pc.if_else(mask, array, None), target) for mask in (digits, pc.invert(digits))]
    return None if parts[0] is None or parts[1] is None else pc.coalesce(*parts)


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """The array as numbers, or None if some value is none."""
    for through in (
        target,
        pa.float64(),
    ):  # "3.0" is an integer too: writers that know no missing integer say so
        try:
            return array.cast(through).cast(target)
        except pa.ArrowInvalid:
            continue
    return None
