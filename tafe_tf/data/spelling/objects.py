"""Lists of Python's own values as Arrow arrays, none of which loses a bit or a meaning."""

from __future__ import annotations

import datetime
import decimal
import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.schema import Dtype
from tafe_tf.shown import shown

_OF_PANDAS = ("NAType", "NaTType")  # pandas need not be installed
_LISTS = (list, tuple, np.ndarray)
_READY = {str, bytes, int, bool, type(None)}  # kinds that need no look at each value
_LARGEST_OFFSET = 2**31 - 1


class NoMeaningError(ValueError):
    """A value that no column of its kind may hold.

    Args:
        index: Its place, from 0.
        value: The value.
        rule: What it must be.
    """

    def __init__(self, index: int, value: object, rule: str) -> None:
        super().__init__(f"{rule}. Received: {shown(value)}")
        self.index = index
        self.value = value
        self.rule = rule


def of_objects(values: Sequence[Any], dtype: Dtype | None = None) -> pa.Array:
    """Makes an Arrow array of Python values.

    Values of one kind give the Arrow type of that kind. Values of several kinds (integers among
    texts) give texts, which mean what the values mean by the table in `tafe_tf.data.spelling`.

    Args:
        values: Values, or lists of values, [n]; None, NaN, NaT and pandas.NA are missing.
        dtype: The dtype that the schema gives the column. Default: None, which is as "string".

    Raises:
        NoMeaningError: If a value has no Arrow type, or stands among texts and has no one text.

    Example:
        >>> import uuid
        >>> of_objects([7, "a", None, uuid.UUID(int=1)]).to_pylist()
        ['7', 'a', None, '00000000-0000-0000-0000-000000000001']
    """
    kinds = set(map(type, values))
    plain = list(values)
    if not kinds <= _READY:
        plain = [_of_python(value) for value in values]
        kinds = set(map(type, plain))
    kinds -= {type(None)}
    if any(issubclass(kind, _LISTS) for kind in kinds):
        return _of_lists(plain, dtype)
    if kinds == {np.datetime64} or kinds == {np.timedelta64}:
        return of_datetimes(np.array(plain, kinds.pop()))
    is_one_kind = len(kinds) <= 1 or kinds in ({int, float}, {str, bytes})
    if is_one_kind:
        array = _of_one_kind(plain)
        if array is not None:
            return array
    return _as_texts(plain, dtype)


def of_datetimes(values: np.ndarray) -> pa.Array:
    """NumPy's dates, times and durations, [n], of which Arrow knows fewer units.

    Raises:
        pa.ArrowInvalid: If the values have a unit finer than nanoseconds, or months as durations.
    """
    unit, _ = np.datetime_data(values.dtype)
    are_dates = values.dtype.kind == "M" and unit in ("Y", "M", "W", "D", "generic")
    if are_dates:
        values = values.astype("M8[D]")
    elif unit in ("W", "D", "h", "m"):
        values = values.astype(f"{values.dtype.kind}8[s]")
    elif unit not in ("s", "ms", "us", "ns"):
        raise pa.ArrowInvalid(f"the unit {unit!r} of {values.dtype}")
    return pa.array(values, from_pandas=True)


def _of_python(value: Any) -> Any:
    """A value as Python's own; None for a missing one."""
    kind = type(value)
    if kind is float:
        return None if value != value else value
    if kind.__name__ in _OF_PANDAS:
        return None
    if isinstance(value, np.generic):
        return _of_numpy(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value


def _of_numpy(value: np.generic) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else value
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value)
    return value.item()


def _of_one_kind(values: list[Any]) -> pa.Array | None:
    """An array of Arrow's own choice; None if there is none that holds all of the values."""
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_temporal(array.type) and _has_nanoseconds(values):
            return pa.array(values, _in_nanoseconds(array.type), from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return array


def _has_nanoseconds(values: list[Any]) -> bool:
    """Whether a time or a duration of pandas has more digits than those of Python."""
    for value in values:
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
            return True
    return False


def _in_nanoseconds(kind: pa.DataType) -> pa.DataType:
    return pa.duration("ns") if pa.types.is_duration(kind) else pa.timestamp("ns", kind.tz)


def _of_lists(values: list[Any], dtype: Dtype | None) -> pa.Array:
    """An array of lists, whose entries are spelled as single values are."""
    lists: list[Sequence[Any]] = []
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, _LISTS):
            raise NoMeaningError(index, value, "must be a list, as in other rows")
        lists.append(() if value is None else _entries(value))
    ends = list(itertools.accumulate((len(entries) for entries in lists), initial=0))
    flat = list(itertools.chain.from_iterable(lists))
    try:
        entries = of_objects(flat, dtype)
    except NoMeaningError as error:
        row = int(np.searchsorted(ends, error.index, side="right")) - 1
        raise NoMeaningError(row, error.value, error.rule) from None
    is_missing = pa.array([value is None for value in values])
    if ends[-1] > _LARGEST_OFFSET:
        offsets = pa.array(ends, pa.int64())
        return pa.LargeListArray.from_arrays(offsets, entries, mask=is_missing)
    offsets = pa.array(ends, pa.int32())
    return pa.ListArray.from_arrays(offsets, entries, mask=is_missing)


def _entries(value: Any) -> Sequence[Any]:
    """The entries of a list; dates of an array stay NumPy's, which keep their unit."""
    if not isinstance(value, np.ndarray):
        return list(value)
    if value.dtype.kind in "mM" or value.ndim != 1:
        return list(value)
    entries: list[Any] = value.tolist()
    return entries


def _as_texts(values: list[Any], dtype: Dtype | None) -> pa.Array:
    """Values of several kinds as texts that mean the same as the values."""
    texts: list[str | None] = []
    for index, value in enumerate(values):
        if value is None:
            texts.append(None)
            continue
        try:
            text = _text(value, is_number=dtype not in (None, "string"))
        except UnicodeDecodeError:
            text = None
        if text is None:
            rule = "has no one meaning beside values of other kinds; write the column as one kind"
            raise NoMeaningError(index, value, rule)
        texts.append(text)
    return pa.array(texts, pa.string())


def _text(value: Any, is_number: bool) -> str | None:
    """The text of a value, or None if it has none.

    Args:
        value: The value.
        is_number: Whether the text is read as a number, so that it only has to mean the same one.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, decimal.Decimal):
        return _decimal_text(value, is_number)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    is_date = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    if is_date:
        return str(value.isoformat())
    if not is_number:
        return None
    for kind, text_of in _TEXTS_OF_NUMBERS:
        if isinstance(value, kind):
            return text_of(value)
    return None


def _decimal_text(value: decimal.Decimal, is_number: bool) -> str | None:
    _, _, exponent = value.as_tuple()
    is_whole = isinstance(exponent, int) and exponent >= 0
    return f"{value:f}" if is_whole or is_number else None


_TEXTS_OF_NUMBERS: list[tuple[type, Callable[[Any], str]]] = [
    (bool, lambda value: str(value).lower()),
    (float, repr),
    (datetime.datetime, lambda value: str(value.isoformat())),
    (datetime.time, lambda value: str(value.replace(tzinfo=None).isoformat())),
    (datetime.timedelta, lambda value: repr(value.total_seconds())),
]
