"""Arrow columns -> checked NumPy columns, the same for every file format."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import WHOLE_ROW, BadRows, Problem
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.key_columns import keep_column
from tafe_tf.data.blocks.labels import read_funnel
from tafe_tf.data.blocks.numbers import is_binary, numbers
from tafe_tf.data.blocks.report_rows import report_rows
from tafe_tf.data.errors import DataError
from tafe_tf.schema import ABSENT, Column, Schema


def to_block(
    raw: Mapping[str, pa.Array],
    rows: np.ndarray,
    problems: list[Problem],
    *,
    columns: tuple[Column, ...],
    keep: Mapping[str, Column | None],
    schema: Schema,
    labels: bool,
    file: int,
    path: str,
    bad_rows: BadRows,
) -> Block:
    """Checks and converts one block.

    Args:
        raw: Arrow columns of equal length, by name.
        rows: The numbers of the rows in the file.
        problems: What the reader found already.
        columns: The columns to convert.
        keep: The columns to keep as Arrow arrays: for each name what the schema says of it, or None
            if it does not know the column, see `keep_column`.
        schema: Says which columns are labels, weights and so on.
        labels: Whether to read the labels.
        file: The file's index.
        path: The file's name, for messages.
        bad_rows: What to do with bad rows.

    Raises:
        BadRowError: At the first bad row, unless `bad_rows` drops them.
        DataError: If a column is of a type that has no values of its dtype.
    """
    # A row is judged once: by what the reader found, if that was anything.
    unreadable = {problem.index for problem in problems}
    found: list[Problem] = []
    converted = {}
    actions = [schema.tasks[i].via for i in schema.via]
    for column in columns:
        if labels and column.name in actions:  # read like labels, below
            continue
        try:
            converted[column.name] = to_column(
                raw[column.name],
                column,
                found,
            )
        except pa.ArrowNotImplementedError as error:
            reason = f"cannot be read as {column.dtype}: {error}"
            raise DataError(f"{path}: column {column.name!r} {reason}") from None
    kept = {}
    for name, known in keep.items():
        kept[name] = keep_column(raw[name], known, found, path)
    _check_roles(converted, schema, found)
    _check_list_weights(raw, converted, schema, found)
    no_labels = (len(rows), 0)
    targets = np.zeros(no_labels, np.uint8)
    repaired: list[Problem] = []
    if labels:
        funnel = read_funnel(raw, schema, found, path)
        targets = funnel.labels
        converted.update(funnel.actions)
        repaired = funnel.repaired
    others = [problem for problem in found if problem.index not in unreadable]
    problems = problems + others
    wrong_width = sum(problem.column == WHOLE_ROW for problem in problems)
    raw_rows = len(rows) - wrong_width
    block = Block(
        columns=converted,
        labels=targets,
        row=rows,
        file=np.full(len(rows), file, np.int32),
        raw_rows=raw_rows,
        kept=kept,
    )
    if problems:
        bad_rows.judge(path, rows, problems)
    bad = {problem.index for problem in problems}
    repaired = [problem for problem in repaired if problem.index not in bad]
    bad_rows.note_repaired(path, rows, repaired)
    if not bad:
        return block
    good = np.ones(len(rows), bool)
    good[list(bad)] = False
    return block.take(good)


def to_column(
    array: pa.Array,
    column: Column,
    problems: list[Problem],
) -> np.ndarray:
    """Converts one column to NumPy.

    Args:
        array: The values, [n].
        column: Their dtype, and for lists the length to which they are cut or padded.
        problems: Receives a problem for each value that the dtype cannot hold.

    Returns:
        [n], or [n, max_length] for lists; missing values and padding are the dtype's `ABSENT`.

    Raises:
        pa.ArrowNotImplementedError: if the array is of a type that has no values of the dtype.
    """
    if not column.max_length:
        return _values(
            array,
            column,
            problems,
            np.arange(len(array)),
        )
    lists = as_lists(array, column)
    lengths = _lengths(lists)
    rows = np.arange(len(lists))
    owner = np.repeat(rows, lengths)
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(owner))
    place -= np.repeat(starts, lengths)
    flat = lists.flatten()
    values = _values(flat, column, problems, owner)
    is_bytes = column.dtype == "string" and is_binary(flat)
    padding = b"" if is_bytes else ABSENT[column.dtype]
    shape = (len(lists), column.max_length)
    padded = np.full(shape, padding, values.dtype)
    kept = place < column.max_length
    padded[owner[kept], place[kept]] = values[kept]
    return padded


def as_lists(array: pa.Array, column: Column) -> pa.Array:
    """The column as a list array; a cell of text is split at the column's separator."""
    if pa.types.is_null(array.type):
        return array.cast(pa.list_(pa.string()))
    is_list = pa.types.is_list(array.type)
    if is_list or pa.types.is_large_list(array.type):
        return array
    cells = array.cast(pa.string())
    is_empty = pc.equal(cells, "")
    texts = pc.if_else(is_empty, None, cells)
    return pc.split_pattern(texts, column.separator)


def _lengths(lists: pa.Array) -> np.ndarray:
    """The length of each list, 0 for a missing one, [n]."""
    return _filled(pc.list_value_length(lists), 0)


def _filled(array: pa.Array, missing: str | bytes | int) -> np.ndarray:
    """The values with one in place of each that is missing, [n]."""
    filled = pc.fill_null(array, missing)
    return filled.to_numpy(zero_copy_only=False)


def _values(
    array: pa.Array,
    column: Column,
    problems: list[Problem],
    owner: np.ndarray,
) -> np.ndarray:
    """Converts single values, be it of a column or of its lists; `owner` gives the row of each."""
    if column.dtype == "string":
        if is_binary(array):
            return _filled(array, b"")
        return _filled(_texts(array), "")
    found = numbers(array, column, problems, owner)
    if found.null_count:
        found = found.fill_null(ABSENT[column.dtype])
    values = found.to_numpy(zero_copy_only=False)
    return values.astype(column.dtype, copy=False)


def _texts(array: pa.Array) -> pa.Array:
    """The values as texts, with offsets of 32 or 64 bits."""
    is_small = pa.types.is_string(array.type)
    if is_small or pa.types.is_large_string(array.type):
        return array
    return array.cast(pa.string())


def _check_roles(
    columns: dict[str, np.ndarray],
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks the sample weights, the times, and the true probabilities."""
    weight = columns.get(schema.sample_weight)
    if weight is not None:
        wrong = ~np.isfinite(weight) | (weight < 0)
        rule = "a sample weight must be a finite number, 0 or more"
        report_rows(wrong, schema.sample_weight, rule, weight, problems)
    truths = [task.truth for task in schema.tasks]
    for name in (schema.time, *truths):
        if name in columns and columns[name].dtype.kind == "f":
            values = columns[name]
            report_rows(
                ~np.isfinite(values),
                name,
                "must be a finite number",
                values,
                problems,
            )


def _check_list_weights(
    raw: Mapping[str, pa.Array],
    columns: dict[str, np.ndarray],
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks that a list has as many weights as values, all finite; makes padding's weights 0."""
    for feature in schema.features:
        if not feature.weights or feature.weights not in columns:
            continue
        if feature.column not in columns:  # nothing to compare with
            np.nan_to_num(
                columns[feature.weights],
                copy=False,
                posinf=0.0,
                neginf=0.0,
            )
            continue
        values_column, weights_column = feature.columns
        values = as_lists(raw[values_column.name], values_column)
        weights = as_lists(raw[weights_column.name], weights_column)
        lengths = _lengths(weights)
        rule = f"must hold as many numbers as {feature.column!r} holds values"
        report_rows(
            _lengths(values) != lengths,
            feature.weights,
            rule,
            lengths,
            problems,
        )
        present = columns[feature.column] != ABSENT[feature.raw_dtype]
        if feature.raw_dtype == "float32":
            present = ~np.isnan(columns[feature.column])
        if values.type.value_type == pa.binary():
            present = columns[feature.column] != b""
        table = columns[feature.weights]
        wrong = present & ~np.isfinite(table)
        rule = "must hold finite numbers"
        report_rows(
            wrong.any(axis=1),
            feature.weights,
            rule,
            lengths,
            problems,
        )
        table[~np.isfinite(table)] = 0.0
