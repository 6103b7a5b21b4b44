"""Lists of what a user had before, and the column of the same things that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tafe_tf.drafting import names
from tafe_tf.drafting.fields import Field
from tafe_tf.first_look.values import Values

_SAME = 0.5  # share of a history's entries that a column of one value a row must know
_OF_ROWS = frozenset({"kind", "dtype", "min_count", "size", "buckets"})  # keys that rows decide
_KINDS = ("vocabulary", "integer", "hash")


def read_by(fields: Sequence[Field], columns: Mapping[str, Values]) -> dict[str, str]:
    """Finds histories, which a candidate should read instead of their being pooled.

    A history is a list whose name says that it is of the past, and at least half of whose entries
    are values of a column with one value a row. That column is the candidate; of several the one
    that knows most of them.

    Args:
        fields: The features to be.
        columns: The columns by name.

    Returns:
        The candidate's column, by that of the history.
    """
    singles = []
    for field in fields:
        is_single = columns[field.keys["column"]].lengths is None
        if is_single and field.keys["kind"] in _KINDS:
            singles.append(columns[field.keys["column"]])
    found = {}
    for field in fields:
        values = columns[field.keys["column"]]
        is_list = values.lengths is not None and field.keys["kind"] in _KINDS
        is_plain = "weights" not in field.keys
        if not is_list or not is_plain or not names.has(values.name, names.HISTORIES):
            continue
        known = {single.name: _known(values, single) for single in singles}
        best = max(known, key=known.__getitem__, default="")
        if best and known[best] >= _SAME:
            found[values.name] = best
    return found


def _known(history: Values, single: Values) -> float:
    """The share of a history's entries that are values of another column."""
    if not history.counts.sum():
        return 0.0
    of_single = set(single.texts)
    counts = zip(history.texts, history.counts, strict=True)
    return float(sum(count for text, count in counts if text in of_single) / history.counts.sum())


def beside(history: Values, fields: Sequence[Field], columns: Mapping[str, Values]) -> list[str]:
    """Finds the lists that say more of a history's entries, such as how long ago each was.

    They have as many entries as the history in every row, and rows of several lengths tell that
    this is no chance.

    Args:
        history: The history.
        fields: The features to be.
        columns: The columns by name.

    Returns:
        Their columns, in the order of the features.
    """
    assert history.lengths is not None
    if len(np.unique(history.lengths)) < 2:
        return []
    found = []
    for field in fields:
        values = columns[field.keys["column"]]
        if values.lengths is None or values.name == history.name:
            continue
        is_pooled = "weights" not in field.keys and "max_length" in field.keys
        if is_pooled and np.array_equal(values.lengths, history.lengths):
            found.append(values.name)
    return found


def with_rows_of(field: Field, candidate: str) -> Field:
    """The feature of a history, with the rows of its candidate's feature.

    Args:
        field: The feature.
        candidate: The name of the candidate's feature.
    """
    column = field.keys["column"]
    others = {key: value for key, value in field.keys.items() if key not in (*_OF_ROWS, "column")}
    keys = {"column": column, "shares": candidate, **others}
    reasons = {key: reason for key, reason in field.reasons.items() if key not in _OF_ROWS}
    reasons["shares"] = "holds the same things"
    return Field(keys, reasons)
