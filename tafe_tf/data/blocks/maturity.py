"""Labels that a row is too young to know."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.blocks import amounts
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.schema import UNKNOWN, Schema, Task

Now = int | float | np.datetime64  # a time as the rows have it: a number, or a date or time


def without_immature(
    block: Block,
    schema: Schema,
    now: Now,
) -> Block:
    """Makes the labels of rows that have not had their time unknown.

    A step that happened early is made unknown like one that has not happened yet: among young rows
    the early ones are all that is known, and whoever kept them would learn that most rows convert.

    Args:
        block: Rows with their times.
        schema: Says after which time each step is known (`Task.matures_after`).
        now: As of when: a datetime64[ns] if the rows' times are dates or times, else a number.

    Returns:
        The block with other labels, as the funnel's order completes them. An action is unknown
        where the step before it is, and the amount where the last step is.

    Raises:
        ValueError: If the block has no times.
        DataError: If they are of another kind than `now`.
    """
    if block.time is None:
        raise ValueError("labels mature by their rows' time, which was not read")
    if kind_of(block.time) != kind_of(now):
        rule = "so that --now, or the time of the newest row, must be of that kind"
        raise DataError(
            f"column {schema.time!r} holds {kind_of(block.time)}, {rule}. Received: {now}"
        )
    labels = mature_labels(block.labels, block.time, schema, now)
    columns = dict(block.columns)
    for i, name in zip(schema.via, schema.actions, strict=True):
        is_late = labels[:, i - 1] == UNKNOWN  # the step before which the action does not come
        if name in columns:
            columns[name] = np.where(is_late, UNKNOWN, columns[name])
    if schema.amount is not None and schema.amount.column in columns:
        name = schema.amount.column
        columns[name] = amounts.completed(columns[name], labels)
    return dataclasses.replace(block, labels=labels, columns=columns)


def mature_labels(
    labels: np.ndarray,
    time: np.ndarray,
    schema: Schema,
    now: Now,
) -> np.ndarray:
    """Makes the labels of rows that have not had their time unknown, see `without_immature`.

    Args:
        labels: 0, 1 or `UNKNOWN`, int8 [n, N].
        time: The rows' times, of the kind of `now`, [n].
        schema: Says after which time each step is known.
        now: As of when.

    Returns:
        Other labels, as the funnel's order completes them, int8 [n, N].
    """
    found = labels.copy()
    for i, task in enumerate(schema.tasks):
        if task.matures_after:
            found[_is_immature(time, task, now), i] = UNKNOWN
    return completed(found)


def as_logged(
    block: Block,
    schema: Schema,
    now: Now,
) -> Block:
    """Leaves labels as the log has them, but in rows that are not older than `now`.

    By when such a row's labels were read is not known. They are unknown there, if they mature.

    Args:
        block: Rows with their times.
        schema: Says which labels mature (`Task.matures_after`).
        now: As of when, see `without_immature`.

    Returns:
        The block, whose young rows have the labels that they showed by then.

    Raises:
        ValueError: As `without_immature`.
        DataError: As `without_immature`.
    """
    judged = without_immature(block, schema, now)
    has_age = ages(block, now) > 0
    labels = np.where(has_age[:, None], block.labels, judged.labels)
    columns = dict(block.columns)
    judged_with_the_labels = [*schema.actions]
    if schema.amount is not None:
        judged_with_the_labels.append(schema.amount.column)
    for name in judged_with_the_labels:
        if name in columns:
            columns[name] = np.where(has_age, block.columns[name], judged.columns[name])
    return dataclasses.replace(block, labels=labels, columns=columns)


def ages(block: Block, now: Now) -> np.ndarray:
    """How old a block's rows are in seconds, negative after `now`, float32 [n].

    Raises:
        ValueError: If the block has no times.
    """
    if block.time is None:
        raise ValueError("rows have an age by their time, which was not read")
    if isinstance(now, np.datetime64):
        nanoseconds = now.astype(np.int64) - block.time.astype(np.int64)
        return np.asarray(nanoseconds * 1e-9, np.float32)
    return np.asarray(now - block.time, np.float32)


def completed(labels: np.ndarray) -> np.ndarray:
    """What the funnel's order says of unknown labels: 1 before a 1, and 0 after a 0.

    Args:
        labels: 0, 1 or `UNKNOWN`, [n, N].

    Example:
        >>> completed(np.array([[-1, 1, -1], [0, -1, -1], [1, -1, 0]])).tolist()
        [[1, 1, -1], [0, 0, 0], [1, -1, 0]]
    """
    found = labels.copy()
    last = found.shape[1] - 1
    for i in range(last, 0, -1):
        happened = found[:, i] == 1
        found[happened, i - 1] = 1
    for i in range(1, last + 1):
        is_over = (found[:, i - 1] == 0) & (found[:, i] == UNKNOWN)
        found[is_over, i] = 0
    return found


def kind_of(time: np.ndarray | Now) -> str:
    """Whether times are "dates or times" or "numbers"."""
    return "dates or times" if np.asarray(time).dtype.kind == "M" else "numbers"


def _is_immature(time: np.ndarray, task: Task, now: Now) -> np.ndarray:
    """Whether each row is too young to know a task's label, bool [n]."""
    span = task.maturity
    if isinstance(now, np.datetime64):
        nanoseconds = now.astype(np.int64).item() - span * 1_000_000_000
        return np.asarray(time.astype(np.int64) > nanoseconds)
    return np.asarray(time > now - span)
