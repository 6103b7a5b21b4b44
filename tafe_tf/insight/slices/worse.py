"""In which slices a model is worse than another one, by more than a margin and beyond noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from tafe_tf.insight.slices.measured import Measured, Rows, measured
from tafe_tf.insight.slices.values import Slicing
from tafe_tf.metrics import NO_GROUP
from tafe_tf.schema import Schema

LEVEL = 0.05  # the chance that any slice is found of models that are equally good


class Worse(NamedTuple):
    """A slice in which the log loss of a step has risen.

    Attributes:
        column: Whose value the slice has.
        value: The value.
        step: The step's name.
        rows: The number of rows.
        before: The log loss of the previous model.
        new: The log loss of the new model.
    """

    column: str
    value: str
    step: str
    rows: int
    before: float
    new: float

    @property
    def rise(self) -> float:
        """The rise of the log loss, a share of the previous one."""
        return self.new / self.before - 1.0


def worse_slices(
    before: Rows,
    new: Rows,
    slicings: Sequence[Slicing],
    schema: Schema,
    margin: float,
) -> list[Worse]:
    """Finds the slices whose log loss has risen by more than a margin.

    That the true rise is within the margin is refused by a one-sided test on the rows' differences,
    whose level of 5 % is divided by the number of slices and steps (Bonferroni), so that a model
    that is nowhere worse passes in 95 % of all cases. Differences of one group's rows are summed
    first, since they are not independent.

    Args:
        before: The previous model's rows, see `Predictions.arrays`.
        new: The new model's, the same rows in the same order.
        slicings: How to divide them.
        schema: Theirs.
        margin: The largest rise that is allowed, a share of the previous log loss.

    Returns:
        The slices and steps, the largest rise first.
    """
    tests = sum(len(slicing.names) for slicing in slicings) * len(schema.step_names)
    needed = float(norm.isf(LEVEL / max(tests, 1)))
    found = []
    for slicing in slicings:
        for place, value in enumerate(slicing.names):
            inside = slicing.place == place
            earlier = measured(_taken(before, inside), schema)
            later = measured(_taken(new, inside), schema)
            group = before["group"][inside] if "group" in before else None
            for one, other in _steps(earlier, later, schema):
                rise = _beyond(one, other, group, margin, needed)
                if rise is not None:
                    found.append(Worse(slicing.column, value, one.name, int(inside.sum()), *rise))
    return sorted(found, key=lambda worse: worse.rise, reverse=True)


def _taken(rows: Rows, inside: np.ndarray) -> Rows:
    return {name: values[inside] for name, values in rows.items()}


def _steps(
    earlier: Sequence[Measured],
    later: Sequence[Measured],
    schema: Schema,
) -> Iterator[tuple[Measured, Measured]]:
    """Both models' outputs, step by step."""
    for one, other in zip(earlier, later, strict=True):
        if one.name in schema.step_names:
            yield one, other


def _beyond(
    one: Measured,
    other: Measured,
    group: np.ndarray | None,
    margin: float,
    needed: float,
) -> tuple[float, float] | None:
    """The log losses before and now, if the rise is beyond the margin and noise; otherwise None."""
    assert one.loss is not None, "steps have a loss"
    assert other.loss is not None, "steps have a loss"
    weight = one.weight.sum()
    if not weight > 0:
        return None
    losses_before = one.weight * one.loss
    losses_now = one.weight * other.loss
    above_margin = losses_now - (1.0 + margin) * losses_before
    total = above_margin.sum()
    if total <= 0:
        return None
    sums = _by_group(above_margin, group)
    if len(sums) < 2:
        return None
    deviation = math.sqrt(len(sums)) * float(sums.std(ddof=1))
    if total <= needed * deviation:
        return None
    return float(losses_before.sum() / weight), float(losses_now.sum() / weight)


def _by_group(values: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """Sums over the rows of each group; a row without a group stays alone."""
    if group is None:
        return values
    is_single = group == NO_GROUP
    _, place = np.unique(group[~is_single], return_inverse=True)
    sums = np.bincount(place, values[~is_single])
    return np.concatenate([sums, values[is_single]])
