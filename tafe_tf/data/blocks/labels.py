"""Labels and actions of raw rows: what each value means, and the order of the funnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Policy, Problem
from tafe_tf.data.blocks.label_values import MISSING, NO, WRONG, YES, codes_of, label_text
from tafe_tf.data.errors import DataError
from tafe_tf.schema import UNKNOWN, Schema, Task

_UNKNOWN = (
    "is unknown: a label may be missing only after a 0; if missing means 0, set "
    'when = "present" or negative = ["0", ""] in its task, and if it means that nobody knows, '
    "may_be_unknown = true"
)
_UNKNOWN_ACTION = "is unknown: an action may be missing only after a 0"


class FunnelColumns(NamedTuple):
    """The labels and actions of n rows of a funnel of N steps.

    Attributes:
        labels: 0, 1 or `UNKNOWN`, int8 [n, N]. In a row without a problem ones come first, then
            what is unknown, and zeros last.
        actions: The columns of the actions by name, 0, 1 or `UNKNOWN`, int64 [n].
        repaired: For each row whose earlier step was made to happen, what was wrong with it.
    """

    labels: np.ndarray
    actions: dict[str, np.ndarray]
    repaired: list[Problem]


class _Step(NamedTuple):
    """A column with what it says of each row.

    Attributes:
        name: The column.
        codes: int8 [n], see `label_values`.
        after: The number of the step that must have happened before, -1 if none.
        unknown: The rule for a missing value after a 1; None where it may be unknown.
    """

    name: str
    codes: np.ndarray
    after: int
    unknown: str | None


def read_funnel(
    raw: Mapping[str, pa.Array],
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> FunnelColumns:
    """Reads the labels and actions, and checks them, or puts them in order.

    A label that is missing after a 0 is 0: nothing else is possible. One that may be unknown is 1
    where a later step happened.

    Args:
        raw: The Arrow columns, [n] each, by name.
        schema: Says which columns they are, what their values mean, and what to do with a step that
            happened without the one before.
        problems: Receives the rows that have no such labels.
        path: The file, for messages.

    Raises:
        DataError: If a column is of a type that no label has.
    """
    labels = _read_labels(raw, schema, problems, path)
    actions = _read_actions(raw, schema, problems, path)
    of_steps = [step.codes for step in (*labels, *actions)]
    is_wrong = np.stack(of_steps) == WRONG
    is_readable = ~is_wrong.any(axis=0)
    repaired: list[Problem] = []
    _fill_earlier(labels, actions)
    if schema.order == "repair":
        _repair(labels, actions, is_readable, repaired)
    _fill(labels, actions)
    _check(labels, actions, is_readable, schema, problems)
    values = [_values(step.codes) for step in labels]
    by_name = {step.name: _values(step.codes).astype(np.int64) for step in actions}
    return FunnelColumns(np.stack(values, axis=1), by_name, repaired)


def _read_labels(
    raw: Mapping[str, pa.Array],
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> list[_Step]:
    """Reads the labels, in the order of the funnel."""
    steps = []
    for i, task in enumerate(schema.tasks):
        codes = _read(raw, task, "a label", schema, problems, path)
        rule = None if task.may_be_unknown else _UNKNOWN
        steps.append(_Step(task.column, codes, i - 1, rule))
    return steps


def _read_actions(
    raw: Mapping[str, pa.Array],
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> list[_Step]:
    """Reads the actions, like labels that are written in the usual ways."""
    steps = []
    for i, name in zip(schema.via, schema.actions, strict=True):
        action = Task(name="action", column=name)
        codes = _read(raw, action, "an action", schema, problems, path)
        steps.append(_Step(name, codes, i - 1, _UNKNOWN_ACTION))
    return steps


def _read(
    raw: Mapping[str, pa.Array],
    task: Task,
    kind: str,
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> np.ndarray:
    """Reads one column as codes, int8 [n], and notes the values that mean nothing."""
    name = task.column
    array = raw[name]
    try:
        codes = codes_of(array, task, schema.missing)
    except DataError as error:
        raise DataError(f"{path}: column {name!r} cannot be read as a label: {error}") from None
    for place in np.flatnonzero(codes == WRONG):
        index = int(place)
        value = array[index].as_py()
        rule = _rule(kind, task, value)
        problems.append(Problem(index, name, rule, value))
    return codes


def _rule(kind: str, task: Task, value: Any) -> str:
    """What a value that means nothing should have been."""
    if task.positive or task.negative:
        ones = list(task.positive) or ["1"]
        zeros = list(task.negative) or ["0"]
        return f"a label must be one of {ones} (1) or {zeros} (0), as `positive` and `negative` say"
    rule = f"{kind} must be 0 or 1"
    text = label_text(value)
    is_number = text.replace("-", "").replace(".", "").isdigit()
    if kind == "an action" or (is_number and text != "-1"):
        return rule
    return f"{rule}; say what other values mean by `positive` and `negative` of the task"


def _repair(
    labels: list[_Step],
    actions: list[_Step],
    is_readable: np.ndarray,
    repaired: list[Problem],
) -> None:
    """Makes an earlier step happen where a later one did, from the last step to the first."""
    steps = [*actions, *reversed(labels)]
    as_read = [step.codes == YES for step in steps]
    for step, was_read in zip(steps, as_read, strict=True):
        if step.after < 0:
            continue
        earlier = labels[step.after]
        broken = is_readable & (step.codes == YES) & (earlier.codes != YES)
        for place in np.flatnonzero(broken & was_read):
            rule = _order_rule(earlier)
            repaired.append(Problem(int(place), step.name, rule, 1))
        earlier.codes[broken] = YES


def _fill_earlier(labels: list[_Step], actions: list[_Step]) -> None:
    """Makes what may be unknown a 1 before a 1, from the last step to the first."""
    for step in [*actions, *reversed(labels)]:
        if step.after < 0:
            continue
        earlier = labels[step.after]
        if earlier.unknown is None:
            is_sure = (earlier.codes == MISSING) & (step.codes == YES)
            earlier.codes[is_sure] = YES


def _fill(labels: list[_Step], actions: list[_Step]) -> None:
    """Makes what is missing after a 0 a 0."""
    for step in [*labels, *actions]:
        if step.after < 0:
            continue
        earlier = labels[step.after]
        is_sure = (step.codes == MISSING) & (earlier.codes == NO)
        step.codes[is_sure] = NO


def _check(
    labels: list[_Step],
    actions: list[_Step],
    is_readable: np.ndarray,
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Notes rows whose labels are unknown, or out of order."""
    policy: Policy | None = None
    if schema.order in ("raise", "drop"):
        policy = schema.order
    for step in labels:
        if step.unknown is not None:
            _note_missing(step, is_readable, problems)
    for action in actions:
        before = labels[action.after]
        _note_missing(action, is_readable & (before.codes != MISSING), problems)
    for step in [*labels, *actions]:
        if step.after < 0:
            continue
        earlier = labels[step.after]
        broken = is_readable & (step.codes == YES) & (earlier.codes == NO)
        for place in np.flatnonzero(broken):
            rule = _order_rule(earlier)
            problems.append(Problem(int(place), step.name, rule, 1, policy))


def _note_missing(
    step: _Step,
    where: np.ndarray,
    problems: list[Problem],
) -> None:
    """Notes rows in which a value is missing that must not be."""
    for place in np.flatnonzero(where & (step.codes == MISSING)):
        problems.append(Problem(int(place), step.name, step.unknown or _UNKNOWN, None))


def _values(codes: np.ndarray) -> np.ndarray:
    """The labels that codes stand for, int8 [n]."""
    happened = (codes == YES).astype(np.int8)
    return np.where(codes == MISSING, np.int8(UNKNOWN), happened)


def _order_rule(earlier: _Step) -> str:
    return f"is 1 where the earlier step {earlier.name!r} is 0"
