"""Lists: those that are written as texts, their lengths, and the weights of their entries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tafe_tf.first_look.values import Values

# Each with the share of the rows with a value that must hold it. A comma and a blank stand in
# sentences as well.
_SEPARATORS = {"|": 0.02, ";": 0.1, ",": 0.3, " ": 0.5}
_LONGEST = 50
_QUANTILE = 0.95
_FEWER = 0.7  # entries must be so much fewer than cells


def separator_of(values: Values) -> str:
    """The character between the entries of a list that is written as a text; "" if it is none."""
    if values.family != "text" or values.lengths is not None or len(values.distinct) < 4:
        return ""
    texts = values.texts
    counts = values.counts
    for separator, least in _SEPARATORS.items():
        has_it = np.array([separator in text for text in texts])
        share = counts[has_it].sum() / counts.sum()
        if share < least:
            continue
        entries = {entry for text in texts for entry in text.split(separator)}
        has_empty = "" in entries
        if not has_empty and len(entries) < _FEWER * len(texts):
            return separator
    return ""


def length_for(values: Values) -> int:
    """How many entries of a list to keep: as many as 95 % of the lists have, 50 at most."""
    assert values.lengths is not None
    present = values.lengths[values.lengths > 0]
    if not len(present):
        return 1
    length = int(np.ceil(np.quantile(present, _QUANTILE)))
    return min(max(length, 1), _LONGEST)


def weights_of(columns: Mapping[str, Values]) -> dict[str, str]:
    """The column with the weights of a list's entries, by the column of the list.

    They are numbers, as many as the list has entries in every row, under a name that begins as the
    list's does.
    """
    found: dict[str, str] = {}
    for name, values in columns.items():
        if values.lengths is None:
            continue
        for other, numbers in columns.items():
            is_free = other != name and other not in found.values()
            if is_free and _belong(name, other) and _are_weights(values, numbers):
                found[name] = other
                break
    return found


def _belong(name: str, other: str) -> bool:
    """Whether two names are of one list, such as "tags" and "tag_weights"."""
    if name.endswith(".key"):
        return other == name.removesuffix("key") + "value"
    is_weight = any(word in other.lower() for word in ("weight", "score", "value"))
    stem = name.lower().rstrip("s")
    return is_weight and other.lower().startswith(stem)


def _are_weights(values: Values, numbers: Values) -> bool:
    if values.lengths is None or numbers.lengths is None:
        return False
    if numbers.family not in ("integer", "number"):
        return False
    are_finite = bool(np.isfinite(numbers.numbers).all()) and bool((numbers.codes >= 0).all())
    return are_finite and np.array_equal(values.lengths, numbers.lengths)
