"""What the values of a label column mean: happened, not happened, missing, or nothing at all."""

from __future__ import annotations

import decimal
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.plain import is_bytes, is_text, plain
from tafe_tf.schema import UNKNOWN, SchemaError, Task
from tafe_tf.shown import cut, shown

NO, YES, MISSING, WRONG = 0, 1, 2, 3  # the codes of a label's values
_TRUTHS = {"true": "1", "false": "0"}
_LARGEST = decimal.Decimal(10) ** 20  # whole numbers beyond it are no label's


def label_text(value: Any, missing: Collection[str] = ()) -> str:
    """Gives the one text of a label's value, by which it is compared with what the schema declares.

    Args:
        value: A value of any type that a file may hold.
        missing: The texts that mean a missing value. Default: the empty text alone.

    Returns:
        "" for a missing value; 1, 1.0, True, "1.0" and "true" are all "1".

    Example:
        >>> [label_text(value) for value in (True, 1.0, "-1.0", "yes", None, float("nan"))]
        ['1', '1', '-1', 'yes', '', '']
    """
    if value is None or value != value:  # NaN is not itself
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    text = str(value)
    if text in missing:
        return ""
    text = _TRUTHS.get(text.lower(), text)
    text = _without_fraction(text)
    return "" if text in missing else text


def _without_fraction(text: str) -> str:
    """A whole number without its fraction and exponent; any other text as it is."""
    try:
        number = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return text
    if not number.is_finite() or abs(number) > _LARGEST or number != number.to_integral_value():
        return text
    return str(int(number))


def codes_of(
    array: pa.Array,
    task: Task,
    missing: Collection[str],
) -> np.ndarray:
    """Reads a label column.

    Args:
        array: The values as a file or a table has them, [n].
        task: Says which values mean what.
        missing: The texts that mean a missing value, beside the empty one.

    Returns:
        `YES`, `NO`, `MISSING` or `WRONG` for each row, int8 [n].

    Raises:
        DataError: If the values are of a type that no label has. The message names neither file nor
            column.
        SchemaError: If one value is declared to mean both 1 and 0.
    """
    array = plain(array)
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if task.when == "present":
        is_missing = _is_missing(array, missing)
        return np.where(is_missing, NO, YES).astype(np.int8)
    if pa.types.is_nested(array.type):
        raise DataError(f"a label must hold one value a row. Received: {cut(str(array.type))}")
    if pa.types.is_temporal(array.type) and array.null_count < len(array):
        rule = 'a label of times needs when = "present" in its task, for which any time is 1'
        raise DataError(f"{rule}. Received: {cut(str(array.type))}")
    zeros_and_ones = _zeros_and_ones(array, task, missing)
    if zeros_and_ones is not None:
        return zeros_and_ones
    encoded = array.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    meanings = meanings_of(task, missing)
    codes = []
    for value in [*distinct, None]:
        text = label_text(value, missing)
        unknown = WRONG if text else MISSING
        codes.append(meanings.get(text, unknown))
    places = encoded.indices.fill_null(len(distinct))
    code_of_place = np.array(codes, np.int8)
    return code_of_place[places.to_numpy()]


def _zeros_and_ones(
    array: pa.Array,
    task: Task,
    missing: Collection[str],
) -> np.ndarray | None:
    """The codes of integers that are all 0 or 1, which is what most columns hold; else None."""
    missing_labels = {label_text(text) for text in missing}
    is_declared = bool(task.positive or task.negative or {"0", "1"} & missing_labels)
    if is_declared or array.null_count or not pa.types.is_integer(array.type):
        return None
    values = array.to_numpy()
    if not ((values == NO) | (values == YES)).all():
        return None
    return values.astype(np.int8)


def meanings_of(task: Task, missing: Collection[str]) -> dict[str, int]:
    """The code of each text that means 1 or 0, as `label_text` spells it.

    A list that is declared stands in place of that side's default.

    Raises:
        SchemaError: If one text is declared to mean both.
    """
    positive = {label_text(text, missing) for text in task.positive}
    negative = {label_text(text, missing) for text in task.negative}
    both = sorted(positive & negative)
    if both:
        rule = "must not name a value of `positive`, however it is written"
        raise SchemaError(f"task {task.name!r}: negative {rule}. Received: {shown(both)}")
    if not task.positive:
        positive = {"1"} - negative
    if not task.negative:
        negative = {"0"} - positive
    return {**dict.fromkeys(positive, YES), **dict.fromkeys(negative, NO)}


def _is_missing(array: pa.Array, missing: Collection[str]) -> np.ndarray:
    """Whether each value is missing, [n]."""
    is_missing = array.is_null(nan_is_null=True)
    words = _words_of(array.type, missing)
    if words is not None:
        is_word = pc.is_in(array, words)
        is_missing = pc.or_(is_missing, is_word)
    return np.asarray(is_missing.to_numpy(zero_copy_only=False))


def _words_of(kind: pa.DataType, missing: Collection[str]) -> pa.Array | None:
    """The values of a type that the missing texts stand for; None if it has none."""
    texts = ["", *missing]
    if is_text(kind) or is_bytes(kind):
        return pa.array(texts, pa.string()).cast(kind)
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return None
    numbers = []
    for text in texts:
        try:
            number = pa.scalar(label_text(text)).cast(kind)
            numbers.append(number.as_py())
        except pa.ArrowInvalid:
            continue
    return pa.array(numbers, kind)


def stored_labels(labels: np.ndarray, task: Task) -> pa.Array:
    """Writes labels as the task reads them, so that a file of them has the same schema.

    Args:
        labels: 0, 1 or `UNKNOWN`, int8 [n].
        task: The step.

    Returns:
        1 and 0 where they are what the task reads, and null for what is unknown. For
        `when = "present"` 1 and null; for declared texts the first of them.
    """
    if task.when == "present":
        return pa.array(labels, mask=labels == 0)
    known = pa.array(labels, mask=labels == UNKNOWN)
    if not task.positive and not task.negative:
        return known
    positive, *_ = task.positive or ("1",)
    negative, *_ = task.negative or ("0",)
    texts = pa.array([negative, positive])
    return texts.take(known)
