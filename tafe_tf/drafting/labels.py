"""Which columns are the steps of the funnel, in which order, and what their values mean."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from tafe_tf.data.blocks.label_values import label_text
from tafe_tf.drafting import names
from tafe_tf.first_look.funnel import read_label, without
from tafe_tf.first_look.values import Values
from tafe_tf.schema import Task

_WORDS = [
    ("yes", "no"),
    ("y", "n"),
    ("t", "f"),
    ("ja", "nein"),
    ("oui", "non"),
    ("positive", "negative"),
]
_MANY_MISSING = 0.2  # share of missing values from which a date may be one of what happened
_NO_STEP = 0.5  # share of a step's rows without the step before that makes it no later step
_SAME = 0.002  # share of rows by which two columns of one step differ
_STOPS = "add --task=click --task=buy, with the names of your columns, in funnel order"


class NoLabelError(ValueError):
    """No column is known to be a label; the message says which could be."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A column that is a step of the funnel.

    Attributes:
        task: How the label is read.
        labels: What it says: 1, 0, or -1 where that is not known, int8 [n].
        reasons: Why each key of the task is as it is.
    """

    task: Task
    labels: np.ndarray
    reasons: Mapping[str, str]

    @property
    def rate(self) -> float:
        """The share of rows in which the step happens."""
        known = self.labels >= 0
        return float((self.labels[known] == 1).mean()) if known.any() else 0.0


@dataclasses.dataclass(frozen=True)
class Funnel:
    """The steps, in order.

    Attributes:
        steps: One or more.
        order: What to do with rows that have a later step without the earlier one, see `Schema`.
        order_reason: Why; "" if there are no such rows.
        passed_over: Columns that look like a step and are none, each with the reason.
    """

    steps: tuple[Step, ...]
    order: str
    order_reason: str
    passed_over: Mapping[str, str]


def find_funnel(columns: Mapping[str, Values], asked: Sequence[str] = ()) -> Funnel:
    """Finds the steps of the funnel.

    Args:
        columns: All columns of the training rows by name.
        asked: The label columns in funnel order, if they are known.

    Raises:
        NoLabelError: If none is found, or one that is asked for cannot be a label.
    """
    passed_over: dict[str, str] = {}
    if asked:
        steps = [_asked(columns, name) for name in asked]
    else:
        steps = _chain(_candidates(columns), passed_over)
    if not steps:
        raise NoLabelError(_no_label(columns))
    steps = _complete(steps, columns)
    order, reason = _order(steps)
    return Funnel(tuple(steps), order, reason, passed_over)


def _asked(columns: Mapping[str, Values], name: str) -> Step:
    if name not in columns:
        known = ", ".join(columns)
        way_out = "give --task once for each step; " if "," in name else ""
        raise NoLabelError(
            f"--task={name}: there is no such column; {way_out}the columns are {known}"
        )
    values = columns[name]
    step = binary_step(values) or present_step(values, least=0.0)
    if step is None:
        found = ", ".join(values.texts[:5])
        rule = "a label has two values, or a value in some rows only"
        raise NoLabelError(f"--task={name}: {rule}. Received: {found}")
    return step


def _candidates(columns: Mapping[str, Values]) -> list[Step]:
    """The columns that are steps by their names and values."""
    named = {name: values for name, values in columns.items() if names.stage(name)}
    found = [step for step in map(binary_step, named.values()) if step is not None]
    known = [step.task.column for step in found]
    for name, values in named.items():
        step = present_step(values)
        if name in known or step is None or not names.is_of_what_happened(name):
            continue
        is_new = all(_differ(step, other) >= _SAME for other in found)
        if is_new:
            found.append(step)
    return found


def binary_step(values: Values) -> Step | None:
    """A column with two values as a step; None if it has others."""
    if values.lengths is not None or not 1 <= len(values.distinct) <= 3:
        return None
    texts = {label_text(value).lower(): text for value, text in _written(values)}
    missing = float(values.missing.mean())
    if len(texts) == 1 and missing > 0:
        return _present(values) if set(texts) & {"1", "yes", "y", "t"} else None
    positive, negative = _meaning(set(texts))
    if not positive:
        return None
    keys: dict[str, tuple[str, ...]] = {}
    if positive != {"1"}:
        keys["positive"] = tuple(texts[text] for text in sorted(positive))
    if negative != {"0"}:
        keys["negative"] = tuple(texts[text] for text in sorted(negative, reverse=True))
    reasons = {key: f"{_listed(texts)} are the values" for key in keys}
    return _step(values, reasons, **keys)


def _written(values: Values) -> list[tuple[object, str]]:
    """The distinct values, and how a schema would write them."""
    return list(zip(values.distinct.to_pylist(), values.texts, strict=True))


def _meaning(texts: set[str]) -> tuple[set[str], set[str]]:
    """Which of some texts in lower case mean 1 and which mean 0; both empty if it is not known."""
    if {"1"} < texts <= {"1", "0", "-1"}:
        return {"1"}, texts - {"1"}
    for yes, no in _WORDS:
        if texts == {yes, no}:
            return {yes}, {no}
    return set(), set()


def present_step(values: Values, least: float = _MANY_MISSING) -> Step | None:
    """A column that has a value only where the step happened; None if it is none."""
    missing = float(values.missing.mean()) if values.rows else 0.0
    is_enough = least <= missing < 1.0 and missing > 0.0
    if values.lengths is not None or not is_enough:
        return None
    return _present(values)


def _present(values: Values) -> Step:
    missing = float(values.missing.mean())
    reason = f"a value means that it happened; {missing:.1%} of the rows have none"
    return _step(values, {"when": reason}, when="present")


def _step(
    values: Values,
    reasons: Mapping[str, str],
    **keys: object,
) -> Step:
    name = names.identifier(values.name, ())
    task = Task(name=name, column=values.name, **keys)  # type: ignore[arg-type]
    return Step(task, read_label(values, task), reasons)


def _chain(candidates: Sequence[Step], passed_over: dict[str, str]) -> list[Step]:
    """The steps whose rows are, mostly, rows of the step before; rarer steps come later."""

    def place(step: Step) -> tuple[float, int]:
        return -step.rate, names.stage(step.task.column)

    chain: list[Step] = []
    for step in sorted(candidates, key=place):
        name = step.task.column
        if step.rate in (0.0, 1.0):
            passed_over[name] = "is the same in all rows"
            continue
        same = [other for other in chain if _differ(step, other) < _SAME]
        if same:
            passed_over[name] = f"says the same as {same[0].task.column!r}"
            continue
        if chain:
            last = chain[-1]
            broken = without(step.labels, last.labels)
            if broken > _NO_STEP:
                passed_over[name] = (
                    f"is no step after {last.task.column!r}: {broken:.0%} of its rows lack that one"
                )
                continue
        chain.append(step)
    return chain


def _differ(one: Step, other: Step) -> float:
    """The share of the rows in which two labels differ."""
    return float((np.maximum(one.labels, 0) != np.maximum(other.labels, 0)).mean())


def _complete(steps: Sequence[Step], columns: Mapping[str, Values]) -> list[Step]:
    """The steps with distinct names, and a meaning for missing labels where they have none."""
    found: list[Step] = []
    for step in steps:
        taken = [other.task.name for other in found]
        task = dataclasses.replace(step.task, name=names.identifier(step.task.column, taken))
        step = dataclasses.replace(step, task=task)
        earlier = found[-1].labels if found else None
        found.append(_with_missing(step, columns[task.column], earlier))
    return found


def _with_missing(
    step: Step,
    values: Values,
    earlier: np.ndarray | None,
) -> Step:
    """The same step, where a missing label means 0 if anything but a 0 stands before it."""
    is_open = values.missing & (step.labels < 0)
    if earlier is not None:
        is_open &= earlier != 0
    count = int(is_open.sum())
    labels = np.where(step.labels < 0, 0, step.labels)
    if not count:
        return dataclasses.replace(step, labels=labels)
    negative = (*(step.task.negative or ("0",)), "")
    task = dataclasses.replace(step.task, negative=negative)
    reason = (
        f'{count:,} rows have no value: take "" out if that does not mean 0, and say '
        "may_be_unknown = true if it means that nobody knows"
    )
    return Step(task, labels, {**step.reasons, "negative": reason})


def _order(steps: Sequence[Step]) -> tuple[str, str]:
    """What to do with rows in which a later step happened without the earlier one."""
    count = 0
    reversed_steps = []
    for earlier, later in itertools.pairwise(steps):
        count += int(((later.labels == 1) & (earlier.labels == 0)).sum())
        if later.rate > earlier.rate:
            both = f"{later.task.column!r} happens more often than {earlier.task.column!r}"
            reversed_steps.append(f"{both} before it")
    if not count:
        return "", ""
    reason = (
        f"{count:,} rows have a later step without the earlier one; it is taken to have happened"
    )
    if reversed_steps:
        reason += f". Is the order right? {', and '.join(reversed_steps)}"
    return "repair", reason


def _listed(texts: Mapping[str, str]) -> str:
    return " and ".join(sorted(texts.values()))


def _no_label(columns: Mapping[str, Values]) -> str:
    """Which columns could be labels."""
    could_be = []
    for name, values in columns.items():
        step = binary_step(values)
        if step is not None and 0.0 < step.rate < 1.0:
            could_be.append(f"{name} ({step.rate:.2%})")
    if not could_be:
        return f"no column looks like a label: none has two values. If there is one, {_STOPS}"
    listed = ", ".join(could_be)
    start = "no column has the name of a funnel's step"
    return (
        f"{start}. With two values, and how often it is 1: {listed}. If these are labels, {_STOPS}"
    )
