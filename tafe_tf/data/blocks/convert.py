"""Arrow columns -> checked NumPy columns, the same for every file format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import WHOLE_ROW, BadRows, Problem
from tafe_tf.data.blocks.amounts import read_amounts
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.key_columns import keep_column
from tafe_tf.data.blocks.labels import read_funnel
from tafe_tf.data.blocks.report_rows import report_rows
from tafe_tf.data.blocks.to_column import Converted, is_present, to_column
from tafe_tf.data.blocks.vocabulary_lines import columns_of_lines, note_no_lines
from tafe_tf.data.spelling.time_column import times
from tafe_tf.schema import Column, Schema


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
    whole: dict[str, Converted] = {}
    time = None
    only_time = schema.only_time
    one_line = columns_of_lines(schema) if labels else set()
    actions = schema.actions
    for column in columns:
        if labels and column.name in actions:  # read like labels, below
            continue
        array = raw[column.name]
        if column.name == schema.time:
            time = times(array, column.name, schema.missing, found, path)
        if column.name in one_line:
            note_no_lines(array, column.name, found)
        if column.name not in only_time:
            whole[column.name] = to_column(array, column, schema.missing, found, path)
    kept = {}
    for name, known in keep.items():
        kept[name] = keep_column(raw[name], known, schema, found, path)
    converted = {name: column.values for name, column in whole.items()}
    _check_roles(converted, schema, found)
    _check_list_weights(whole, schema, found)
    _check_vectors(whole, columns, found)
    _check_sequences(whole, schema, found)
    no_labels = (len(rows), 0)
    targets = np.zeros(no_labels, np.int8)
    repaired: list[Problem] = []
    if labels:
        funnel = read_funnel(raw, schema, found, path)
        targets = funnel.labels
        converted.update(funnel.actions)
        if schema.amount is not None:
            name = schema.amount.column
            converted[name] = read_amounts(converted[name], targets, schema.amount, found)
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
        time=time,
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


def _check_roles(
    columns: dict[str, np.ndarray],
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks the weights and the true probabilities."""
    for name in dict.fromkeys([schema.sample_weight, *schema.step_weights]):
        if name in columns:
            weight = columns[name]
            wrong = ~np.isfinite(weight) | (weight < 0)
            rule = "a sample weight must be a finite number, 0 or more"
            report_rows(wrong, name, rule, weight, problems)
    truths = [task.truth for task in schema.tasks]
    for name in truths:
        if name in columns:
            values = columns[name]
            wrong = ~np.isfinite(values)
            report_rows(wrong, name, "must be a finite number", values, problems)


def _check_vectors(
    converted: Mapping[str, Converted],
    columns: Iterable[Column],
    problems: list[Problem],
) -> None:
    """Checks that a vector has all of its numbers, or none."""
    for column in columns:
        if not column.is_exact or column.name not in converted:
            continue
        values, lengths = converted[column.name]
        most = column.max_length
        is_missing = np.isnan(values).all(axis=1) & (lengths <= most)
        has_length = is_missing | (lengths == most)
        rule = f"must hold exactly {most} numbers, or none"
        report_rows(~has_length, column.name, rule, lengths, problems)
        finite = np.isfinite(values).sum(axis=1)
        is_broken = has_length & ~is_missing & (finite < most)
        rule = f"must hold {most} finite numbers, or none"
        report_rows(is_broken, column.name, rule, finite, problems)


def _check_list_weights(
    columns: Mapping[str, Converted],
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks that a list has as many weights as values, all finite; makes padding's weights 0."""
    for feature in schema.features:
        if not feature.weights or feature.weights not in columns:
            continue
        table, lengths = columns[feature.weights]
        if feature.column in columns:  # otherwise there is nothing to compare with
            values, lengths_of_values = columns[feature.column]
            rule = f"must hold as many numbers as {feature.column!r} holds values"
            report_rows(
                lengths_of_values != lengths,
                feature.weights,
                rule,
                lengths,
                problems,
            )
            wrong = is_present(values) & ~np.isfinite(table)
            rule = "must hold finite numbers"
            report_rows(wrong.any(axis=1), feature.weights, rule, lengths, problems)
        table[~np.isfinite(table)] = 0.0


def _check_sequences(
    columns: Mapping[str, Converted],
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks that the lists of a sequence have one length in each row."""
    read = {feature.name: feature.column for feature in schema.features}
    for sequence in schema.sequences:
        names = [read[name] for name in sequence.features if read[name] in columns]
        for name in names[1:]:
            first = columns[names[0]].lengths
            lengths = columns[name].lengths
            for index in np.flatnonzero(first != lengths):
                rule = f"must hold as many values as {names[0]!r}, {first[index]}"
                problems.append(Problem(int(index), name, rule, int(lengths[index])))
