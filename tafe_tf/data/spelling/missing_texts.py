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
    is_missing = pc.is_in(array, _texts(missing, array.type))
    if not pc.any(is_missing).as_py():
        return array
    return pc.if_else(is_missing, None, array)


@functools.lru_cache
def _texts(missing: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(["", *missing], pa.string()).cast(kind)
