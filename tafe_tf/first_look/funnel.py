"""The labels of a funnel: how often each step happens, and whether it follows the one before."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.blocks.label_values import MISSING, NO, YES, codes_of, meanings_of
from tafe_tf.data.errors import DataError
from tafe_tf.first_look.values import Values
from tafe_tf.schema import MISSING_TEXTS, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the funnel in the training rows.

    Attributes:
        label: The label's column.
        rate: Share of the rows with a known label in which the step happens.
        unknown: Share of the rows whose label is neither 0 nor 1.
        without_earlier: Share of the rows with this step in which the earlier step did not happen.
    """

    label: str
    rate: float
    unknown: float
    without_earlier: float


def read_labels(
    columns: Sequence[Values],
    tasks: Sequence[Task],
    missing: Sequence[str] = MISSING_TEXTS,
) -> np.ndarray:
    """Reads the labels of all steps, before any repair.

    Args:
        columns: The label columns in funnel order.
        tasks: How each is read.
        missing: The texts that mean a missing value. Default: `MISSING_TEXTS`.

    Returns:
        1, 0, or -1 where it is not known, int8 [n, N]. A missing label after a 0 is 0.
    """
    found: list[np.ndarray] = []
    for values, task in zip(columns, tasks, strict=True):
        labels = read_label(values, task, missing)
        if found:
            labels = np.where(values.missing & (found[-1] == 0), 0, labels)
        found.append(labels.astype(np.int8))
    return np.stack(found, axis=1)


def read_label(
    values: Values,
    task: Task,
    missing: Sequence[str] = MISSING_TEXTS,
) -> np.ndarray:
    """Reads one label: 1, 0, or -1 where it is neither, int8 [n]."""
    if task.when == "present":
        return (~values.missing).astype(np.int8)
    if values.lengths is not None:
        return np.full(values.rows, -1, np.int8)
    try:
        found = codes_of(values.distinct, task, missing)
    except DataError:  # no label is of this type
        return np.full(values.rows, -1, np.int8)
    meaning_of_missing = meanings_of(task, missing).get("", MISSING)
    by_code = np.append(found, meaning_of_missing)  # the last one is for code -1
    codes = by_code[values.codes]
    return np.where(codes == YES, 1, np.where(codes == NO, 0, -1)).astype(np.int8)


def steps(
    names: Sequence[str],
    labels: np.ndarray,
) -> tuple[Step, ...]:
    """Describes the labels.

    Args:
        names: The label columns in funnel order.
        labels: What `read_labels` gives, int8 [n, N].
    """
    found = []
    for i, name in enumerate(names):
        known = labels[:, i] >= 0
        happens = labels[known, i]
        broken = 0.0
        if i:
            both = known & (labels[:, i - 1] >= 0)
            broken = without(labels[both, i], labels[both, i - 1])
        step = Step(
            label=name,
            rate=float(happens.mean()) if len(happens) else 0.0,
            unknown=float(1.0 - known.mean()) if len(known) else 0.0,
            without_earlier=broken,
        )
        found.append(step)
    return tuple(found)


def order_warnings(steps: Sequence[Step]) -> list[str]:
    """What to say of steps that happen more often than the step before them.

    Args:
        steps: The steps of the funnel, in order.
    """
    found = []
    for earlier, later in itertools.pairwise(steps):
        if later.rate > earlier.rate:
            found.append(
                f"label {later.label!r} is 1 in {later.rate:.2%} of the rows, more than the step "
                f"before it, {earlier.label!r} ({earlier.rate:.2%}): is their order right?"
            )
    return found


def without(later: np.ndarray, earlier: np.ndarray) -> float:
    """The share of the later step's rows in which the earlier step did not happen."""
    happened = later == 1
    if not happened.any():
        return 0.0
    return float((earlier[happened] == 0).mean())
