"""Converts arrays at once, and where that fails finds the values that are at fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Convert: TypeAlias = Callable[[pa.Array], pa.Array]


def each(
    array: pa.Array,
    convert: Convert,
    target: pa.DataType,
) -> tuple[pa.Array, np.ndarray]:
    """Converts an array, without the values that cannot be converted.

    Args:
        array: The values, [n].
        convert: Gives the values as another type, null for null; raises ArrowInvalid if it cannot
            convert one of them.
        target: The type that `convert` gives.

    Returns:
        The converted values, [n], null where one could not be; and where that is so, bool [n].

    Example:
        >>> import pyarrow as pa
        >>> texts = pa.array(["7", "x", None])
        >>> found, wrong = each(texts, lambda part: part.cast(pa.int64()), pa.int64())
        >>> found.to_pylist(), wrong.tolist()
        ([7, None, None], [False, True, False])
    """
    try:
        return convert(array), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        pass
    encoded = array.dictionary_encode()
    pieces: list[pa.Array] = []
    are_wrong: list[bool] = []
    _halves(encoded.dictionary, convert, target, pieces, are_wrong)
    distinct = pa.concat_arrays(pieces)
    found = distinct.take(encoded.indices)
    wrong = pa.array(are_wrong, pa.bool_()).take(encoded.indices)
    return found, wrong.fill_null(False).to_numpy(zero_copy_only=False)


def _halves(
    array: pa.Array,
    convert: Convert,
    target: pa.DataType,
    pieces: list[pa.Array],
    are_wrong: list[bool],
) -> None:
    """Converts both halves of an array that cannot be converted whole, and so on."""
    try:
        pieces.append(convert(array))
        are_wrong += [False] * len(array)
        return
    except pa.ArrowInvalid:
        if len(array) == 1:
            pieces.append(pa.nulls(1, target))
            are_wrong.append(True)
            return
    middle = len(array) // 2
    _halves(array[:middle], convert, target, pieces, are_wrong)
    _halves(array[middle:], convert, target, pieces, are_wrong)
