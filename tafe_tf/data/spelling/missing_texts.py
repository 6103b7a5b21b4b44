"""The texts that mean a missing value."""

from __future__ import annotations

import functools

import pyarrow as pa
import pyarrow.compute as pc


def without_missing(array: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """Makes texts that mean a missing value null.

    Args:
        array: Texts or bytes, [n].
        missing: The texts, see `Schema.missing`; the empty text is always one of them.
    """
    words = _texts(missing, array.type)
    if not _holds_any(array, words):
        return array
    return pc.if_else(pc.is_in(array, words), None, array)


def _holds_any(array: pa.Array, words: pa.Array) -> bool:
    """Whether an array holds one of some words; only values as short as they are looked up."""
    longest = pc.max(pc.binary_length(words))
    is_short = pc.less_equal(pc.binary_length(array), longest)
    places = pc.indices_nonzero(is_short)
    is_rare = 2 * len(places) < len(array)
    candidates = array.take(places) if is_rare else array
    return bool(pc.any(pc.is_in(candidates, words)).as_py())


@functools.lru_cache
def _texts(missing: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(["", *missing], pa.string()).cast(kind)
