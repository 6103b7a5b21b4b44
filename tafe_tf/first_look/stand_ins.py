"""Texts that stand for a value that is not there, though the schema does not say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from tafe_tf.first_look.values import Values, as_numbers

_SIGNS = frozenset({"?", "??", "-", "--", "---", ".", "*", "\\N", "#N/A", "n/a", "(null)"})
_LEAST_NUMBERS = 3  # different ones, beside which one text is taken for a missing number


def stand_in(values: Values) -> str:
    r"""The text of a column that probably means that there is no value.

    It is a sign such as "?" or "\N", whatever the other values are, or the only value that is no
    number in a column of numbers.

    Args:
        values: The column.

    Returns:
        The text, the most frequent one if there are several; "" if there is none.
    """
    if not pa.types.is_string(values.distinct.type):
        return ""
    texts = values.texts
    found = [place for place, text in enumerate(texts) if text in _SIGNS]
    if not found:
        is_number = np.isfinite(as_numbers(values.distinct))
        is_odd_one = is_number.sum() >= _LEAST_NUMBERS and (~is_number).sum() == 1
        found = list(np.flatnonzero(~is_number)) if is_odd_one else []
    if not found:
        return ""
    return texts[max(found, key=lambda place: values.counts[place])]


def shares(columns: Iterable[Values]) -> dict[str, dict[str, float]]:
    """Which share of which columns' values such a text has.

    Args:
        columns: The columns of the training rows.

    Returns:
        By text, by the column's name, the largest share first.
    """
    found: dict[str, dict[str, float]] = {}
    for values in columns:
        text = stand_in(values)
        if text:
            count = values.counts[values.texts.index(text)]
            of_columns = found.setdefault(text, {})
            of_columns[values.name] = float(count) / max(len(values.codes), 1)
    for text, of_columns in found.items():
        found[text] = dict(sorted(of_columns.items(), key=lambda item: -item[1]))
    return found


def described(text: str, of_columns: Mapping[str, float]) -> str:
    """Where a text stands, as `shares` has it."""
    (first, share), *others = of_columns.items()
    more = f" and in {len(others)} more" if others else ""
    return f"{text!r} stands in {share:.2%} of column {first!r}{more}"


def warnings(columns: Iterable[Values]) -> list[str]:
    """What to say of such texts, a line a text.

    Args:
        columns: The columns of the training rows.
    """
    way_out = "if it means that there is no value, name it in the schema's `missing`"
    return [
        f"{described(text, of_columns)}: {way_out}" for text, of_columns in shares(columns).items()
    ]
