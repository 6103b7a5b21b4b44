"""The column `Schema.time`, by which rows are ordered, with all of its bits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.each import Convert, each
from tafe_tf.data.spelling.instants import DATE, timestamps
from tafe_tf.data.spelling.missing_texts import without_missing
from tafe_tf.data.spelling.plain import decoded, is_bytes, is_text, name_of, plain

_MOMENT = pa.timestamp("ns")
_DIGITS = r"^-?\d+$"
_RULE = "must be a time (of the years 1678 to 2261) or a finite number"


def times(
    array: pa.Array,
    name: str,
    missing: tuple[str, ...],
    problems: list[Problem],
    source: str,
) -> np.ndarray:
    """Reads times.

    Args:
        array: Dates or timestamps, texts of them in ISO 8601, or numbers, [n].
        name: The column's name.
        missing: The texts that mean a missing value.
        problems: Receives a problem for each value that is missing or no time.
        source: The file or the table, for messages.

    Returns:
        [n]: int64 for integers; float64 if any number has a fraction or is a float; datetime64[ns]
        in UTC for dates and timestamps. Where there is a problem, the value has no meaning.

    Raises:
        DataError: If values of this type are no times, and not all of them are missing.

    Example:
        >>> import pyarrow as pa
        >>> times(pa.array(["2024-01-02T00:00:00.000000001"]), "at", (), [], "a.csv")
        array(['2024-01-02T00:00:00.000000001'], dtype='datetime64[ns]')
    """
    found, wrong = kept_times(array, name, missing, source)
    filled = found.fill_null(_nothing(found.type)) if found.null_count else found
    values = filled.to_numpy(zero_copy_only=False)
    is_missing = found.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    wrong = wrong | is_missing
    if values.dtype.kind == "f":
        wrong |= ~np.isfinite(values)
    note_wrong(array, wrong, name, problems)
    return values


def kept_times(
    array: pa.Array,
    name: str,
    missing: tuple[str, ...],
    source: str,
) -> tuple[pa.Array, np.ndarray]:
    """Reads times where they may be missing; see `times`.

    Returns:
        The times, null where one is missing or wrong, [n]; and where one is wrong, bool [n].
    """
    array = plain(array)
    if is_bytes(array.type):
        array = decoded(array)
    if is_text(array.type):
        array = without_missing(array, missing)
    convert, target = _converter(array, name, source)
    return each(array, convert, target)


def note_wrong(
    array: pa.Array,
    wrong: np.ndarray,
    name: str,
    problems: list[Problem],
) -> None:
    """Adds a problem for each value that is no time, which `wrong` [n] says."""
    for place in np.flatnonzero(wrong):
        index = int(place)
        problems.append(Problem(index, name, _RULE, array[index].as_py()))


def _converter(array: pa.Array, name: str, source: str) -> tuple[Convert, pa.DataType]:
    """The function that reads times of a type, and the type that it gives."""
    kind = array.type
    if is_text(kind):
        return _of_texts(array)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _moments, _MOMENT
    is_whole_decimal = pa.types.is_decimal(kind) and kind.scale == 0
    if pa.types.is_integer(kind) or is_whole_decimal:
        return lambda part: part.cast(pa.int64()), pa.int64()
    if pa.types.is_floating(kind):
        return lambda part: part.cast(pa.float64()), pa.float64()
    if pa.types.is_decimal(kind):
        return lambda part: part.cast(pa.string()).cast(pa.float64()), pa.float64()
    if array.null_count < len(array):
        rule = "a time must be a date, a timestamp, a text of one in ISO 8601, or a number"
        found = f"column {name!r} is {name_of(kind)} in this table"
        raise DataError(f"{source}: {found} and the time in the schema: {rule}")
    return lambda part: pa.nulls(len(part), pa.int64()), pa.int64()


def _of_texts(texts: pa.Array) -> tuple[Convert, pa.DataType]:
    if pc.any(pc.match_substring_regex(texts, DATE)).as_py():
        return lambda part: timestamps(part).cast(_MOMENT), _MOMENT
    if pc.all(pc.match_substring_regex(texts, _DIGITS)).as_py():
        return lambda part: part.cast(pa.int64()), pa.int64()
    return lambda part: part.cast(pa.float64()), pa.float64()


def _moments(array: pa.Array) -> pa.Array:
    if pa.types.is_date(array.type):
        array = array.cast(pa.date32()).cast(pa.timestamp("s"))
    return array.cast(_MOMENT)


def _nothing(kind: pa.DataType) -> pa.Scalar:
    """0 as a value of a type."""
    return pa.scalar(0, pa.int64()).cast(kind)
