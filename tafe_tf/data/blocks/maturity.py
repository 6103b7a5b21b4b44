"""Labels that a row is too young to know."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.blocks.block import Block
from tafe_tf.schema import UNKNOWN, Schema, Task

_NANOSECONDS = 1_000_000_000


def without_immature(
    block: Block,
    schema: Schema,
    now: int | float,
) -> Block:
    """Makes the labels of rows that have not had their time unknown.

    A step that happened early is made unknown like one that has not happened yet: among young rows
    the early ones are all that is known, and whoever kept them would learn that most rows convert.

    Args:
        block: Rows with their times.
        schema: Says after which time each step is known (`Task.matures_after`).
        now: As of when, as `tafe_tf.data.batches.times` gives times.

    Returns:
        The block with other labels, as the funnel's order completes them.

    Raises:
        ValueError: If the block has no times.
    """
    if block.time is None:
        raise ValueError("labels mature by their rows' time, which was not read")
    labels = block.labels.copy()
    for i, task in enumerate(schema.tasks):
        if task.matures_after:
            labels[_is_immature(block.time, task, now), i] = UNKNOWN
    return dataclasses.replace(block, labels=completed(labels))


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


def _is_immature(time: np.ndarray, task: Task, now: int | float) -> np.ndarray:
    """Whether each row is too young to know a task's label, bool [n]."""
    span = task.maturity
    if time.dtype.kind == "M":
        return np.asarray(time.astype(np.int64) > now - span * _NANOSECONDS)
    return np.asarray(time > now - span)
