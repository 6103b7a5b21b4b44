"""Texts that stand for a value that is not there, though the schema does not say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from tafe_tf.first_look.values import Values

_SIGNS = frozenset({"?", "??", "-", "--", "---", ".", "*", "\\N", "#N/A", "n/a", "(null)"})
_LEAST_NUMBERS = 3  # different ones, beside which one text is taken for a missing number


def shares(columns: Iterable[Values]) -> dict[str, dict[str, float]]:
    r"""Which share of which columns' values such a text has.

    It is a sign such as "?" or "\N", whatever the other values of a column are, or the only value
    that is no number in a column of numbers; the most frequent one if a column has several.

    Args:
        columns: The columns of the training rows.

    Returns:
        By text, by the column's name, the largest share first.
    """
    found: dict[str, dict[str, float]] = {}
    for values in columns:
        places = _places(values)
        if places:
            place = max(places, key=values.counts.__getitem__)
            of_columns = found.setdefault(values.texts[place], {})
            of_columns[values.name] = float(values.counts[place]) / len(values.codes)
    for text, of_columns in found.items():
        found[text] = dict(sorted(of_columns.items(), key=lambda item: -item[1]))
    return found


def _places(values: Values) -> list[int]:
    """The places of such texts among the distinct values of a column."""
    if not pa.types.is_string(values.distinct.type):
        return []
    signs = [place for place, text in enumerate(values.texts) if text in _SIGNS]
    if signs:
        return signs
    is_number = np.isfinite(values.numbers)
    is_odd_one = is_number.sum() >= _LEAST_NUMBERS and (~is_number).sum() == 1
    return np.flatnonzero(~is_number).tolist() if is_odd_one else []


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
