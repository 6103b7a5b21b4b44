"""The columns with a part of their own: the user, the time and the row weight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tafe_tf.drafting import names
from tafe_tf.first_look.values import Values

_EPOCH = 1e9  # seconds of 2001: a whole number from there on may be a time
_FEW = 100  # fewer different moments are seasons or versions, not times
_ONCE = 0.95


def find_group(columns: Mapping[str, Values]) -> tuple[str, str]:
    """The column of the user and the reason; both empty if there is none."""
    for name, values in columns.items():
        if not names.has(name, names.USERS) or names.has(name, names.MEASURES):
            continue
        is_id = names.has(name, names.IDS - names.USERS) or len(names.words(name)) == 1
        is_text = values.family in ("integer", "text") and "float" not in str(values.type)
        is_text = is_text and "double" not in str(values.type)
        present = int((~values.missing).sum())
        comes_again = 2 < len(values.distinct) < _ONCE * present
        if is_id and is_text and comes_again and values.lengths is None:
            count = len(values.distinct)
            reason = f"{count:,} users with {present / count:.1f} rows each: grouped AUC by user"
            return name, reason
    return "", ""


def find_time(columns: Mapping[str, Values]) -> tuple[str, str]:
    """The column with the moment of the row and the reason; both empty if there is none.

    Of several it is the finest, which has the most distinct moments: a timestamp, not its day.
    """
    found = ""
    for name, values in columns.items():
        is_named = names.has(name, names.TIMES) and not names.has(name, names.FACTS)
        if not is_named or values.missing.any() or values.lengths is not None:
            continue
        is_moment = values.family == "moment"
        is_count = values.family == "integer" and _counts_up(values)
        if not (is_moment or is_count) or len(values.distinct) < 2:
            continue
        if not found or len(values.distinct) > len(columns[found].distinct):
            found = name
    if not found:
        return "", ""
    return found, "the moment of the row: --valid_split=time holds out the latest rows"


def _counts_up(values: Values) -> bool:
    """Whether whole numbers may be a time: seconds since 1970, or numbers that grow all along."""
    numbers = values.numbers
    is_sorted = bool((np.diff(numbers[values.codes]) >= 0).all())
    return float(np.nanmin(numbers)) >= _EPOCH or (is_sorted and len(numbers) > _FEW)


def find_sample_weight(columns: Mapping[str, Values]) -> tuple[str, str]:
    """The column with the weight of the row and the reason; both empty if there is none."""
    for name, values in columns.items():
        is_named = "_".join(names.words(name)) in names.SAMPLE_WEIGHTS
        if not is_named or values.missing.any() or values.lengths is not None:
            continue
        numbers = values.numbers
        if np.isfinite(numbers).all() and (numbers >= 0).all():
            return name, "how much the row counts, by its name"
    return "", ""
