"""Dates, times and durations as seconds, and texts as timestamps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DATE = r"^\d{4}-\d\d-\d\d"  # how a date or a timestamp begins in ISO 8601
TIME_OF_DAY = r"^\d\d:\d\d"
_ZONED = r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$"
_UNITS_PER_SECOND = {
    "s": 1,
    "ms": 10**3,
    "us": 10**6,
    "ns": 10**9,
}


def seconds(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Counts seconds: since 1970-01-01 UTC, since midnight, or of a duration.

    The same moment gives the same bits, whatever the unit of its type.

    Args:
        array: Dates, timestamps (UTC if they have no zone), times of day or durations, [n].
        target: int64 or float64.

    Raises:
        pa.ArrowInvalid: If the target is int64 and a value has a fraction of a second.
    """
    if pa.types.is_date(array.type):
        array = array.cast(pa.date32()).cast(pa.timestamp("s"))
    per_second = _UNITS_PER_SECOND[array.type.unit]
    width = pa.int32() if pa.types.is_time32(array.type) else pa.int64()
    is_missing = array.is_null().to_numpy(zero_copy_only=False)
    units = array.cast(width).fill_null(0).to_numpy(zero_copy_only=False)
    whole, rest = np.divmod(units.astype(np.int64), per_second)
    if target != pa.int64():
        return pa.array(whole + rest / per_second, target, mask=is_missing)
    if rest.any():
        raise pa.ArrowInvalid("a fraction of a second")
    return pa.array(whole, target, mask=is_missing)


def timestamps(texts: pa.Array) -> pa.Array:
    """Reads dates and timestamps in ISO 8601, [n], as timestamps of UTC without a zone.

    Raises:
        pa.ArrowInvalid: If a text is none, or has more than nine digits of a second.
    """
    try:
        return texts.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:  # some have a zone, or lie outside of the years 1678 to 2261
        pass
    try:
        return _zoned_or_not(texts, "ns")
    except pa.ArrowInvalid:
        return _zoned_or_not(texts, "us")


def times_of_day(texts: pa.Array) -> pa.Array:
    """Reads times of day such as 12:30 or 12:30:59.5, [n], as timestamps of 1970-01-01.

    Raises:
        pa.ArrowInvalid: If a text is none.
    """
    on_a_day = pc.binary_join_element_wise("1970-01-01", texts.cast(pa.string()), "T")
    return on_a_day.cast(pa.timestamp("ns"))


def _zoned_or_not(texts: pa.Array, unit: str) -> pa.Array:
    is_zoned = pc.match_substring_regex(texts, _ZONED)
    zoned = pc.if_else(is_zoned, texts, None)
    local = pc.if_else(is_zoned, None, texts)
    of_zones = zoned.cast(pa.timestamp(unit, "UTC"))
    of_none = local.cast(pa.timestamp(unit))
    return pc.coalesce(of_none, of_zones.cast(pa.timestamp(unit)))
