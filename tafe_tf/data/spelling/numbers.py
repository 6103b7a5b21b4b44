"""Values of Arrow arrays as numbers."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.spelling.each import Convert, each
from tafe_tf.data.spelling.instants import DATE, TIME_OF_DAY, seconds, times_of_day, timestamps
from tafe_tf.data.spelling.missing_texts import without_missing
from tafe_tf.data.spelling.plain import decoded, is_bytes, is_text, plain
from tafe_tf.data.spelling.refusal import refusal
from tafe_tf.schema import Column

_WHOLE_BITS = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}
_WHOLE = r"^\+?(-?\d+)\.?0*$"  # an integer, or one with a fraction of zeros
_BOOLEAN = r"(?i)^(true|false)$"


def numbers(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    problems: list[Problem],
    owner: np.ndarray,
    source: str,
) -> pa.Array:
    """Gives values as numbers, see the table in `tafe_tf.data.spelling`.

    Args:
        array: The values, [n].
        column: Says which numbers.
        missing: The texts that mean a missing value.
        problems: Receives a problem for each value that is no such number.
        owner: The row of each value in its block, [n], for the problems.
        source: The file or the table, for messages.

    Returns:
        int64 or float64, [n]; null, or NaN, for each missing value.

    Raises:
        DataError: If values of this type are no such numbers, and not all of them are missing.
    """
    if isinstance(array.type, pa.UuidType) and array.null_count < len(array):
        raise refusal(array, column, source)  # although its text is one
    array = plain(array)
    target = pa.int64() if column.dtype == "int64" else pa.float64()
    given = decoded(array) if is_bytes(array.type) else array
    convert = _converter(given.type, target)
    if convert is None:
        if array.null_count < len(array):
            raise refusal(array, column, source)
        return pa.nulls(len(array), target)
    found = _at_once(given, target)
    if found is None:
        if is_text(given.type):
            given = without_missing(given, missing)
        found, wrong = each(given, convert, target)
        for place in np.flatnonzero(wrong):
            value = array[int(place)].as_py()
            rule = _rule(value, target)
            problems.append(Problem(int(owner[place]), column.name, rule, value))
    words = numbers_that_are_missing(missing, target)
    if len(words):
        found = pc.if_else(pc.is_in(found, words), None, found)
    return found


def _rule(value: Any, target: pa.DataType) -> str:
    """What a value that is no number of a type should have been."""
    if target != pa.int64():
        return "must be a number"
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return "must be an integer of seconds, without a fraction"
    if isinstance(value, float) and value.is_integer():
        return "must be an integer of which a float holds all digits, see docs/data.md"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if text.lstrip("+-").isdecimal():
        return 'must be an integer within 64 bits; set dtype = "string" for larger ids'
    return "must be an integer"


def _at_once(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Texts in which none has to be looked at by itself, as most files have them; else None."""
    if not is_text(array.type):
        return None
    try:
        return array.cast(target)
    except pa.ArrowInvalid:
        return None


def _converter(kind: pa.DataType, target: pa.DataType) -> Convert | None:
    """The function that makes numbers of values of a type; None if there is none."""
    is_integer = target == pa.int64()
    if is_text(kind):
        return integers_of_texts if is_integer else floats_of_texts
    if pa.types.is_boolean(kind):
        return lambda array: array.cast(pa.int8()).cast(target)
    if pa.types.is_integer(kind):
        return lambda array: array.cast(target, safe=is_integer)
    if pa.types.is_floating(kind):
        limit = 2.0 ** _WHOLE_BITS[kind]
        return (lambda array: whole(array, limit)) if is_integer else _floats
    if pa.types.is_decimal(kind):
        return _integers_of_decimals if is_integer else _floats_of_decimals
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return lambda array: seconds(array, target)
    if pa.types.is_null(kind):
        return lambda array: array.cast(target)
    return None


def whole(array: pa.Array, limit: float) -> pa.Array:
    """Floats as integers, null for NaN.

    Raises:
        pa.ArrowInvalid: If one has a fraction, or is beyond the limit up to which floats of its
            width tell one integer from the next.
    """
    floats = array.cast(pa.float64())
    floats = pc.if_else(pc.is_nan(floats), None, floats)
    if pc.any(pc.greater(pc.abs(floats), limit)).as_py():
        raise pa.ArrowInvalid("a float that does not hold all digits of an integer")
    return floats.cast(pa.int64())


def integers_of_texts(texts: pa.Array) -> pa.Array:
    """Reads integers, whole numbers such as 3.0, true and false, and dates and times in seconds.

    Raises:
        pa.ArrowInvalid: If a text is none of these.
    """
    return _of_texts(
        texts,
        pa.int64(),
        first=[(_WHOLE, _without_fraction)],
        rest=lambda part: whole(part.cast(pa.float64()), 2.0**53),
    )


def floats_of_texts(texts: pa.Array) -> pa.Array:
    """Reads numbers, true and false, and dates and times in seconds.

    Raises:
        pa.ArrowInvalid: If a text is none of these.
    """
    return _of_texts(texts, pa.float64(), first=[], rest=_floats)


def _of_texts(
    texts: pa.Array,
    target: pa.DataType,
    first: list[tuple[str, Convert]],
    rest: Convert,
) -> pa.Array:
    """Reads texts at once if Arrow can, and otherwise each by its form.

    Args:
        texts: The texts.
        target: The type of the numbers.
        first: Forms that only this type has, each a pattern and who reads it.
        rest: Who reads what has no form.
    """
    try:
        return texts.cast(target)
    except pa.ArrowInvalid:
        pass
    forms: list[tuple[str, Convert]] = [
        *first,
        (_BOOLEAN, lambda part: _booleans(part, target)),
        (DATE, lambda part: seconds(timestamps(part), target)),
        (TIME_OF_DAY, lambda part: seconds(times_of_day(part), target)),
        ("", rest),
    ]
    return _by_form(texts, forms, target)


def _by_form(
    texts: pa.Array,
    forms: list[tuple[str, Convert]],
    target: pa.DataType,
) -> pa.Array:
    """Converts each text by the first form whose pattern it matches."""
    found = pa.nulls(len(texts), target)
    for pattern, convert in forms:
        has_form = pc.match_substring_regex(texts, pattern)
        if not pc.any(has_form).as_py():
            continue
        part = pc.if_else(has_form, texts, None)
        found = pc.coalesce(found, convert(part))
        texts = pc.if_else(has_form, None, texts)
    return found


def _without_fraction(texts: pa.Array) -> pa.Array:
    digits = pc.replace_substring_regex(texts, _WHOLE, r"\1")
    return digits.cast(pa.int64())


def _booleans(texts: pa.Array, target: pa.DataType) -> pa.Array:
    is_true = pc.equal(pc.utf8_lower(texts), "true")
    return is_true.cast(pa.int8()).cast(target)


def _floats(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64())


def _integers_of_decimals(array: pa.Array) -> pa.Array:
    if array.type.scale != 0:
        wide = array.cast(pa.decimal256(76, array.type.scale))
        array = wide.cast(pa.decimal256(76, 0))
    return integers_of_texts(array.cast(pa.string()))


def _floats_of_decimals(array: pa.Array) -> pa.Array:
    return array.cast(pa.string()).cast(pa.float64())  # Arrow's own way rounds twice


@functools.lru_cache
def numbers_that_are_missing(missing: tuple[str, ...], target: pa.DataType) -> pa.Array:
    """The numbers among the texts that mean a missing value, NaN left out."""
    texts = pa.array(missing, pa.string())
    read: Callable[[pa.Array], pa.Array]
    read = integers_of_texts if target == pa.int64() else floats_of_texts
    found, _ = each(texts, read, target)
    is_number = pc.fill_null(pc.is_finite(found), False)
    return found.filter(is_number)
