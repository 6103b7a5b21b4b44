"""Drift as a function: a run or an export, and the rows of today."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.insight.drift.compare import Drift, Thresholds, compare
from tafe_tf.insight.drift.observed import RowsObserved, padded
from tafe_tf.insight.drift.reading import Rows, Say, read
from tafe_tf.insight.drift.reference import Reference, reference
from tafe_tf.schema import Schema

_ROWS_AT_ONCE = 4096  # that go through the model's feature graph together


def find_drift(
    model: str | os.PathLike[str],
    sources: Sequence[str],
    thresholds: Thresholds | None = None,
    input_format: str = "",
    say: Say = print,
) -> Drift:
    """Compares rows with those that a model was trained on.

    Args:
        model: The directory of a run, of a version of an export, or of versions, of which the
            highest one is taken.
        sources: Files or folders of a request log, or files of rows of any format that training
            reads. The scores of a log's calls are those that were served; rows of files are scored.
        thresholds: How much drift is no alarm. Default: `Thresholds()`.
        input_format: The format of files without an ending. Default: "".
        say: Is told in one line what is left out. Default: `print`.

    Raises:
        RunError: If there is no such model.
        DataError: If there are no rows, or a file cannot be used.

    Example:
        drift = find_drift("runs/shop", ["served"])
        for one in drift.found:
            print(one.of, one.name, one.distance, one.note)
    """
    known = reference(model)
    schema = known.schema
    seen = RowsObserved(schema, known.profile)
    fields = FieldCounts([feature.name for feature in schema.counted_features])
    parts = read(sources, schema, known.beside, input_format, say)
    for rows in _batched(_counted(parts, seen), schema):
        _add(rows, known, seen, fields)
    return compare(schema, known.profile, seen, fields, thresholds or Thresholds())


def _counted(parts: Iterator[Rows], seen: RowsObserved) -> Iterator[Rows]:
    """The same rows, once their values and the scores that were served are counted."""
    for rows in parts:
        seen.add(rows.columns, rows.size, rows.is_call)
        seen.add_scores(rows.scores, rows.is_call)
        yield rows


def _batched(parts: Iterator[Rows], schema: Schema) -> Iterator[Rows]:
    """The rows of calls together, which are few each; other rows as they are."""
    waiting: list[Rows] = []
    for rows in parts:
        if not rows.is_call:
            yield rows
            continue
        waiting.append(rows)
        if sum(each.size for each in waiting) >= _ROWS_AT_ONCE:
            yield _joined(waiting, schema)
            waiting = []
    if waiting:
        yield _joined(waiting, schema)


def _joined(parts: Sequence[Rows], schema: Schema) -> Rows:
    columns = {}
    for column in schema.served_inputs:
        arrays = [part.columns[column.name] for part in parts]
        columns[column.name] = padded(column, arrays)
    return Rows(columns, sum(part.size for part in parts), True, {})


def _add(rows: Rows, known: Reference, seen: RowsObserved, fields: FieldCounts) -> None:
    """Counts what only the model tells of rows: unseen values, and scores of rows from files."""
    for start in range(0, rows.size, _ROWS_AT_ONCE):
        here = slice(start, start + _ROWS_AT_ONCE)
        columns: dict[str, np.ndarray] = {}
        for name, values in rows.columns.items():
            columns[name] = values[here]
        known.count_fields(fields, columns)
        if not rows.is_call:
            seen.add_scores(known.scores(columns), is_call=False)
