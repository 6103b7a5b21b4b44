"""Arrow columns -> checked NumPy columns; the same for every file format."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import WHOLE_ROW, BadRows, Problem
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.key_columns import keep_column
from tafe_tf.data.blocks.numbers import is_binary, numbers
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
        raw: Arrow columns of equal length.
        rows: row numbers in the file.
        problems: what the reader found already.
        columns: the columns to convert.
        keep: columns to keep as Arrow arrays: those that the schema knows, in its dtype, null where missing; None
            for others, which stay as the file has them.
        schema: the dataset, for labels and roles.
        labels: whether to read the labels.
        file: the file's index.
        path: its name, for messages.
        bad_rows: what to do with bad rows.

    Raises:
        BadRowError: at the first bad row, unless `bad_rows` drops them.
        DataError: if a column's type can be no value of its dtype.
    """
    unreadable = {
        problem.index for problem in problems
    }  # the row is judged once, by what the reader found
    found: list[Problem] = []
    converted = {}
    for column in columns:
        try:
            converted[column.name] = to_column(raw[column.name], column, found)
        except pa.ArrowNotImplementedError as error:
            raise DataError(
                f"{path}: column {column.name!r} cannot be read as {column.dtype}: {error}"
            ) from None
    kept = {name: keep_column(raw[name], column, found, path) for name, column in keep.items()}
    _check_roles(converted, schema, found)
    _check_list_weights(raw, converted, schema, found)
    targets = _labels(raw, schema, found, path) if labels else np.zeros((len(rows), 0), np.uint8)
    if labels:
        _check_actions(converted, targets, schema, found)
    problems = problems + [problem for problem in found if problem.index not in unreadable]
    raw_rows = len(rows) - sum(problem.column == WHOLE_ROW for problem in problems)
    block = Block(
        columns=converted,
        labels=targets,
        row=rows,
        file=np.full(len(rows), file, np.int32),
        raw_rows=raw_rows,
        kept=kept,
    )
    if not problems:
        return block
    bad_rows.judge(path, rows, problems)
    good = np.ones(len(rows), bool)
    good[[problem.index for problem in problems]] = False
    return block.take(good)


def to_column(array: pa.Array, column: Column, problems: list[Problem]) -> np.ndarray:
    """One column, [n] or [n, max_length], missing values as `ABSENT`; what is no value of its dtype is a problem."""
    if not column.max_length:
        return _values(array, column, problems, np.arange(len(array)))
    lists = as_lists(array, column)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(lists)), lengths)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values = _values(lists.flatten(), column, problems, owner)
    padding = (
        b"" if column.dtype == "string" and is_binary(lists.flatten()) else ABSENT[column.dtype]
    )
    padded = np.full((len(lists), column.max_length), padding, values.dtype)
    kept = place < column.max_length
    padded[owner[kept], place[kept]] = values[kept]
    return padded


def as_lists(array: pa.Array, column: Column) -> pa.Array:
    """The column as a list array; a cell of text is split at the column's separator."""
    if pa.types.is_null(array.type):
        return array.cast(pa.list_(pa.string()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array
    array = array.cast(pa.string())
    return pc.split_pattern(pc.if_else(pc.equal(array, ""), None, array), column.separator)


def _values(
    array: pa.Array, column: Column, problems: list[Problem], owner: np.ndarray
) -> np.ndarray:
    """One value an entry; `owner` gives the row of each for messages."""
    if column.dtype == "string":
        if not (
            pa.types.is_string(array.type)
            or pa.types.is_large_string(array.type)
            or is_binary(array)
        ):
            array = array.cast(pa.string())
        return pc.fill_null(array, b"" if is_binary(array) else "").to_numpy(zero_copy_only=False)
    found = numbers(array, column, problems, owner)
    if found.null_count:
        found = found.fill_null(ABSENT[column.dtype])
    return found.to_numpy(zero_copy_only=False).astype(column.dtype, copy=False)


def _report(
    mask: np.ndarray, column: str, rule: str, values: np.ndarray, problems: list[Problem]
) -> None:
    problems += [Problem(int(i), column, rule, values[i].item()) for i in np.flatnonzero(mask)]


def _check_roles(columns: dict[str, np.ndarray], schema: Schema, problems: list[Problem]) -> None:
    weight = columns.get(schema.sample_weight)
    if weight is not None:
        ok = np.isfinite(weight) & (weight >= 0)
        _report(
            ~ok,
            schema.sample_weight,
            "a sample weight must be a finite number, 0 or more",
            weight,
            problems,
        )
    for name in (schema.time, *(task.truth for task in schema.tasks)):
        if name in columns and columns[name].dtype.kind == "f":
            values = columns[name]
            _report(~np.isfinite(values), name, "must be a finite number", values, problems)


def _check_list_weights(
    raw: Mapping[str, pa.Array],
    columns: dict[str, np.ndarray],
    schema: Schema,
    problems: list[Problem],
) -> None:
    for feature in schema.features:
        if not feature.weights or feature.weights not in columns:
            continue
        if feature.column not in columns:  # nothing to compare with
            np.nan_to_num(columns[feature.weights], copy=False, posinf=0.0, neginf=0.0)
            continue
        values, weights = (as_lists(raw[c.name], c) for c in feature.columns)
        lengths = [
            pc.fill_null(pc.list_value_length(x), 0).to_numpy(zero_copy_only=False)
            for x in (values, weights)
        ]
        rule = f"must hold as many numbers as {feature.column!r} holds values"
        _report(lengths[0] != lengths[1], feature.weights, rule, lengths[1], problems)
        present = columns[feature.column] != ABSENT[feature.raw_dtype]
        if feature.raw_dtype == "float32":
            present = ~np.isnan(columns[feature.column])
        if values.type.value_type == pa.binary():
            present = columns[feature.column] != b""
        table = columns[feature.weights]
        wrong = present & ~np.isfinite(table)
        _report(
            wrong.any(axis=1), feature.weights, "must hold finite numbers", lengths[1], problems
        )
        table[~np.isfinite(table)] = 0.0


def _labels(
    raw: Mapping[str, pa.Array], schema: Schema, problems: list[Problem], path: str
) -> np.ndarray:
    """[n, N], each 0 or 1, nested."""
    names = schema.labels
    labels = np.zeros((len(raw[names[0]]), len(names)), np.uint8)
    for i, name in enumerate(names):
        found: list[Problem] = []
        try:
            values = _values(
                raw[name], Column(name=name, dtype="float64"), found, np.arange(len(labels))
            )
        except pa.ArrowNotImplementedError as error:
            raise DataError(f"{path}: column {name!r} cannot be read as a label: {error}") from None
        reasons = {problem.index: problem.value for problem in found}
        wrong = (values != 0) & (values != 1)  # NaN included
        for index in np.flatnonzero(wrong):
            value = reasons.get(int(index), raw[name][int(index)].as_py())
            problems.append(Problem(int(index), name, "a label must be 0 or 1", value))
        labels[:, i] = values == 1
    for i in range(1, len(names)):
        wrong = labels[:, i] > labels[:, i - 1]
        rule = f"is 1 where the earlier step {names[i - 1]!r} is 0"
        _report(wrong, names[i], rule, labels[:, i], problems)
    return labels


def _check_actions(
    columns: dict[str, np.ndarray], labels: np.ndarray, schema: Schema, problems: list[Problem]
) -> None:
    for i in schema.via:
        name = schema.tasks[i].via
        if name in columns:
            values = columns[name]
            wrong = (values != 0) & (values != 1)
            _report(wrong, name, "an action must be 0 or 1", values, problems)
            too_early = ~wrong & (values > labels[:, i - 1])
            _report(
                too_early,
                name,
                f"is 1 where the earlier step {schema.labels[i - 1]!r} is 0",
                values,
                problems,
            )
