"""The labels of a funnel: how often each step happens, and whether it follows the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tafe_tf.first_look.values import Values
from tafe_tf.schema import Task

ONE = ("1", "1.0", "true")
ZERO = ("0", "0.0", "false")


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


def read_labels(columns: Sequence[Values], tasks: Sequence[Task]) -> np.ndarray:
    """Reads the labels of all steps, before any repair.

    Args:
        columns: The label columns in funnel order.
        tasks: How each is read.

    Returns:
        1, 0, or -1 where it is not known, int8 [n, N]. A missing label after a 0 is 0.
    """
    found: list[np.ndarray] = []
    for values, task in zip(columns, tasks, strict=True):
        labels = read_label(values, task)
        if found:
            labels = np.where(values.missing & (found[-1] == 0), 0, labels)
        found.append(labels.astype(np.int8))
    return np.stack(found, axis=1)


def read_label(values: Values, task: Task) -> np.ndarray:
    """Reads one label: 1, 0, or -1 where it is neither, int8 [n]."""
    if task.when == "present":
        return (~values.missing).astype(np.int8)
    if values.lengths is not None:
        return np.full(values.rows, -1, np.int8)
    meaning = {text: 0 for text in _spellings(task.negative, ZERO)}
    meaning |= {text: 1 for text in _spellings(task.positive, ONE)}
    read = [meaning.get(text, meaning.get(text.lower(), -1)) for text in values.texts]
    by_code = np.array([*read, meaning.get("", -1)], np.int8)  # the last one is for code -1
    return by_code[values.codes]


def _spellings(texts: Sequence[str], otherwise: Sequence[str]) -> list[str]:
    """The texts, and how a number among them is written in files of other types."""
    found: list[str] = []
    for text in texts or otherwise:
        found += [text, text.removesuffix(".0"), f"{text}.0"]
    return found


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


def without(later: np.ndarray, earlier: np.ndarray) -> float:
    """The share of the later step's rows in which the earlier step did not happen."""
    happened = later == 1
    if not happened.any():
        return 0.0
    return float((earlier[happened] == 0).mean())
