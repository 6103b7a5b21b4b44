"""Which columns are fields of the model and of which kind, and why the others are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.drafting import lists, names
from tafe_tf.drafting.labels import binary_step
from tafe_tf.first_look.funnel import without
from tafe_tf.first_look.look import first_leak
from tafe_tf.first_look.values import Values
from tafe_tf.schema import Task

_ONCE = 0.95  # share of distinct values from which a column tells one row from the other
_FEW = 1000  # whole numbers with so few values are taken for names of things
_DENSE = 256  # 0 to so much, most of it in use: no vocabulary is needed
_VOCABULARY = 50_000  # more values than that are hashed
_MOST_BUCKETS = 1 << 22
_BUCKETS = 64  # of a number, which is what a schema takes if it names none
_ROWS_OF_BUCKET = 50  # at least, so that each bucket can be learned
_VECTOR = 4  # numbers from which lists of one length are taken for vectors


@dataclasses.dataclass(frozen=True)
class Field:
    """A feature to be.

    Attributes:
        keys: What `schema.Feature` takes; the name is given at the end.
        reasons: Why each key is as it is.
    """

    keys: dict[str, Any]
    reasons: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Fields:
    """All features, and what is none.

    Attributes:
        fields: The features in the order of the columns.
        left_out: The other columns, each with the reason.
    """

    fields: tuple[Field, ...]
    left_out: Mapping[str, str]


def find_fields(
    columns: Mapping[str, Values],
    separators: Mapping[str, str],
    tasks: Sequence[Task],
    labels: np.ndarray,
    special: Mapping[str, str],
) -> Fields:
    """Decides for each column that is no label.

    Args:
        columns: All columns of the training rows by name; lists that are written as texts are
            lists here.
        separators: The separator of those lists, by column.
        tasks: The funnel.
        labels: Its labels, [n, N].
        special: The reasons for leaving out other columns, by column.
    """
    targets = {task.column for task in tasks}
    weights = lists.weights_of(columns)
    fields: list[Field] = []
    kept: list[Values] = []
    left_out: dict[str, str] = {}
    for name, values in columns.items():
        if name in targets or name in weights.values():
            continue
        reason = special.get(name) or _useless(values)
        reason = reason or _of_the_future(values, tasks, labels) or _double(values, kept)
        if reason:
            left_out[name] = reason
            continue
        field = field_of(values)
        if isinstance(field, str):
            left_out[name] = field
            continue
        fields.append(_of_list(field, values, separators.get(name, ""), weights.get(name, "")))
        kept.append(values)
    return Fields(tuple(fields), left_out)


def _useless(values: Values) -> str:
    """Why no model could learn from a column; "" if one could."""
    if values.family == "none":
        return "has no value in any row"
    if values.family == "nested":
        return f"holds values of type {values.type}, which no field can have"
    if len(values.distinct) == 1 and not values.missing.any():
        return f"is {values.texts[0]!r} in all rows"
    if _is_row_id(values):
        return f"has another value in nearly every row ({len(values.distinct):,}): it names the row"
    return ""


def _is_row_id(values: Values) -> bool:
    present = int((~values.missing).sum())
    is_unique = values.lengths is None and len(values.distinct) > _ONCE * present
    if not is_unique or present < 100:
        return False
    is_name = names.has(values.name, names.IDS) and not names.has(values.name, names.MEASURES)
    return values.family in ("text", "bytes") or (values.family == "integer" and is_name)


def _of_the_future(
    values: Values,
    tasks: Sequence[Task],
    labels: np.ndarray,
) -> str:
    """Why a column cannot have been known before the label; "" if it can."""
    leak = first_leak(values, tasks, labels)
    if leak is None:
        return ""
    reason = f"{leak.reason}: it was not known before"
    last = tasks[-1].name
    step = binary_step(values)
    if step is not None and without(step.labels, labels[:, -1]) == 0.0:
        chain = [*(task.column for task in tasks), values.name]
        flags = " ".join(f"--task={column}" for column in chain)
        reason += f"; if it is a step after {last!r}, draft with {flags}"
    is_number = values.family in ("integer", "number")
    if is_number and len(values.distinct) > 2:
        reason += f'; if it is what {last!r} brings, it is the amount of a task, kind = "amount"'
    return reason


def _double(values: Values, kept: Sequence[Values]) -> str:
    """The column that says the same, value by value; "" if none does."""
    for other in kept:
        if values.lengths is not None or other.lengths is not None:
            continue
        count = len(values.distinct)
        is_telling = 2 <= count < _ONCE * (~values.missing).sum()  # else any two columns agree
        if count != len(other.distinct) or not is_telling:
            continue
        if not np.array_equal(values.missing, other.missing):
            continue
        pairs = values.codes * len(other.distinct) + other.codes
        present = pairs[~values.missing]
        if len(np.unique(present)) == len(values.distinct):
            return f"says the same as {other.name!r}, value by value"
    return ""


def field_of(values: Values) -> Field | str:
    """The feature of a column, or the reason why there is none."""
    family = values.family
    if family == "moment":
        return "is a moment, which does not come again in later rows"
    if family == "flag":
        reason = f"{' and '.join(sorted(values.texts))}: 0 and 1"
        return Field({"kind": "integer", "size": 2}, {"kind": reason, "size": "true is 1"})
    if family == "number":
        return _number(values)
    if family == "integer":
        return _integer(values)
    return _names(values, "string")


def _integer(values: Values) -> Field | str:
    """Whole numbers: measures, places in a short list, or names of things."""
    least, largest = float(values.numbers.min()), float(values.numbers.max())
    count = len(values.distinct)
    is_id = names.has(values.name, names.IDS) and not names.has(values.name, names.MEASURES)
    is_history = values.lengths is not None and names.has(values.name, names.HISTORIES)
    measures = names.MEASURES - names.HISTORIES if is_history else names.MEASURES
    is_measure = names.has(values.name, measures) and not is_id
    is_dense = least >= 0 and largest < _DENSE and count > largest / 2
    if is_dense and not is_measure:
        size = int(largest) + 1
        reason = f"{count} whole numbers from {least:.0f} to {largest:.0f}"
        return Field(
            {"kind": "integer", "size": size},
            {"kind": reason, "size": "a larger number counts as unseen"},
        )
    has_sign = least < 0
    is_thing = is_id or (is_history and not is_measure)
    if not is_thing and (is_measure or has_sign or count > _FEW):
        return _number(values)
    return _names(values, "int64")


def _number(values: Values) -> Field | str:
    """Numbers, in buckets of as many rows each; or vectors of them."""
    finite = values.numbers[np.isfinite(values.numbers)]
    if not len(finite):
        return "holds no finite number"
    what = f"numbers from {_short(finite.min())} to {_short(finite.max())}"
    length = _length_of_vectors(values)
    if length:
        keys: dict[str, Any] = {"kind": "vector", "length": length}
        return Field(keys, {"kind": f"lists of {what}", "length": "all lists have as many"})
    keys = {"kind": "quantile"}
    reasons = {"kind": f"{what}, {len(values.distinct):,} of them distinct"}
    buckets = int(values.counts.sum()) // _ROWS_OF_BUCKET
    if buckets < _BUCKETS:
        keys["buckets"] = max(buckets, 2)
        reasons["buckets"] = f"so that each has {_ROWS_OF_BUCKET} rows or more"
    return Field(keys, reasons)


def _length_of_vectors(values: Values) -> int:
    """The one length of all lists that are not missing; 0 if they are no vectors."""
    if values.lengths is None or values.family != "number":
        return 0
    present = values.lengths[values.lengths > 0]
    if not len(present) or present.min() != present.max():
        return 0
    length = int(present[0])
    return length if length >= _VECTOR else 0


def _short(number: float) -> str:
    return f"{number:.6g}"


def _names(values: Values, dtype: str) -> Field:
    """Names of things: a row of the table for each, or hashed if they are many."""
    count = len(values.distinct)
    keys: dict[str, Any] = {"kind": "vocabulary"}
    reasons = {"kind": f"{count:,} distinct values"}
    what = "whole numbers" if dtype == "int64" else "texts"
    if dtype != "string":
        keys["dtype"] = dtype
        reasons["dtype"] = what
    has_breaks = dtype == "string" and any("\n" in text or "\r" in text for text in values.texts)
    if count > _VOCABULARY or values.family == "bytes" or has_breaks:
        keys["kind"] = "hash"
        keys["buckets"] = _buckets(count)
        reasons["kind"] = f"{count:,} distinct {what}, and new ones to come"
        if has_breaks:
            reasons["kind"] = f"{count:,} distinct {what}, some with line breaks"
        reasons["buckets"] = "two for each, so that few share one"
    return Field(keys, reasons)


def _buckets(count: int) -> int:
    wanted = 1 << max(2 * count - 1, 1).bit_length()
    return min(wanted, _MOST_BUCKETS)


def _of_list(
    field: Field,
    values: Values,
    separator: str,
    weights: str,
) -> Field:
    """Adds the column, and what lists need beside it."""
    keys = {"column": values.name, **field.keys}
    reasons = {**field.reasons, "column": _missing(values)}
    if values.lengths is None:
        return Field(keys, reasons)
    if keys["kind"] != "vector":
        keys["max_length"] = lists.length_for(values)
        cut = float((values.lengths > keys["max_length"]).mean())
        reasons["max_length"] = f"lists of up to {values.lengths.max()}; {cut:.1%} of them are cut"
    if separator and separator != "|":
        keys["separator"] = separator
        reasons["separator"] = "stands between the entries"
    if weights:
        keys["weights"] = weights
        reasons["weights"] = "a number for each entry, in every row"
    return Field(keys, reasons)


def _missing(values: Values) -> str:
    share = float(values.missing.mean()) if values.rows else 0.0
    return f"missing in {share:.1%} of the rows" if share else "never missing"
