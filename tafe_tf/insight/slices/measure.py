"""The metrics of slices with their intervals, and how many outcomes each slice misplaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tafe_tf.insight.slices.measured import Measured, Rows, measured
from tafe_tf.insight.slices.values import Slicing
from tafe_tf.metrics import Metrics
from tafe_tf.metrics.bootstrap import RankedRows, interval, resamples
from tafe_tf.schema import UNKNOWN, Schema
from tafe_tf.training.evaluator import metrics_of

REPLICATES = 200

Interval = tuple[float, float] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows that share a value.

    Attributes:
        column: Whose value.
        value: The value, or a range of values.
        metrics: As `tafe_tf.evaluate` has them, of these rows alone.
        intervals: Of "auc/NAME", "log_loss/NAME" and "pcoc/NAME", the 95 % bootstrap interval; None
            where no replicate defines it. Rows of one group are drawn together.
        misplaced: For each step and for the expected amount, by how much the sum of the predictions
            of these rows is above (or, negative, below) what was observed in them, as a share of
            what was observed in all rows.
    """

    column: str
    value: str
    metrics: Metrics
    intervals: dict[str, Interval]
    misplaced: dict[str, float]

    def is_beyond_noise(self, name: str) -> bool:
        """Whether the interval of predicted / observed of an output leaves out 1."""
        ends = self.intervals[f"pcoc/{name}"]
        return ends is not None and not ends[0] <= 1.0 <= ends[1]

    def as_json(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return dataclasses.asdict(self)


def measure(
    rows: Rows,
    slicings: Sequence[Slicing],
    schema: Schema,
    replicates: int = REPLICATES,
) -> list[Slice]:
    """Measures every slice of every slicing, and sorts the slices, the worst first.

    The worst are those that misplace the largest share of what was observed in all rows: of the
    amounts if the schema has one, otherwise of the step of which they misplace most. Slices whose
    intervals hold 1 in all of these come behind all others.

    Args:
        rows: Rows of a model, see `Predictions.arrays`.
        slicings: How to divide them.
        schema: Theirs.
        replicates: How many bootstrap samples give the intervals. Default: 200.
    """
    all_observed = {}
    for one in measured(rows, schema):
        all_observed[one.name] = float((one.weight * one.observed).sum())
    found = []
    for slicing in slicings:
        for place, value in enumerate(slicing.names):
            inside = slicing.place == place
            of_slice = {name: values[inside] for name, values in rows.items()}
            made = _measure(of_slice, schema, all_observed, replicates)
            found.append(Slice(column=slicing.column, value=value, **made))
    return sorted(found, key=lambda one: _badness(one, schema), reverse=True)


def judged_by(schema: Schema) -> tuple[str, ...]:
    """The names of the outputs by which slices are sorted: the amount, or else the steps."""
    return schema.amount_names[-1:] or schema.step_names


def worst_output(one: Slice, schema: Schema) -> str:
    """The name of the output of which a slice misplaces the largest share, beyond noise if any."""
    return max(judged_by(schema), key=lambda name: _badness_in(one, name))


def _badness(one: Slice, schema: Schema) -> tuple[bool, float]:
    return max(_badness_in(one, name) for name in judged_by(schema))


def _badness_in(one: Slice, name: str) -> tuple[bool, float]:
    if name not in one.misplaced:  # of trees, which predict no amount
        return False, 0.0
    return one.is_beyond_noise(name), abs(one.misplaced[name])


def _measure(
    rows: Rows,
    schema: Schema,
    all_observed: dict[str, float],
    replicates: int,
) -> dict[str, Any]:
    """Fields of a `Slice`."""
    outputs = measured(rows, schema)
    misplaced = {}
    for one in outputs:
        if one.name in schema.conditional_names or not all_observed[one.name]:
            continue
        excess = (one.weight * (one.predicted - one.observed)).sum()
        misplaced[one.name] = float(excess / all_observed[one.name])
    return {
        "metrics": _metrics(rows, schema),
        "intervals": _intervals(outputs, rows.get("group"), replicates),
        "misplaced": misplaced,
    }


def _metrics(rows: Rows, schema: Schema) -> Metrics:
    """The metrics of rows, as evaluating them alone would give."""
    metrics = metrics_of(schema)
    steps = np.arange(len(schema.step_names))
    depth = rows["depth"].astype(np.int64)[:, None]
    ends = depth + rows["unknown"].astype(np.int64)[:, None]
    labels = np.where(steps < depth, 1, np.where(steps < ends, UNKNOWN, 0))
    amounts = {name: rows[name] for name in ("amount", "amount_given") if name in rows}
    metrics.update(rows["logits"], labels, sample_weight=rows["weight"], **amounts)
    return metrics.result()


def _intervals(
    outputs: Sequence[Measured],
    group: np.ndarray | None,
    replicates: int,
) -> dict[str, Interval]:
    """The intervals of all outputs."""
    count = len(outputs[0].weight)
    ranked = {}
    for one in outputs:
        if one.loss is not None:
            counts = one.weight > 0
            ranked[one.name] = RankedRows(one.score, one.observed, one.weight, counts)
    drawn: dict[str, list[np.ndarray]] = {}
    for times in resamples(count, group, replicates):
        for one in outputs:
            of_predicted = times @ (one.weight * one.predicted)
            of_observed = times @ (one.weight * one.observed)
            sums = {"pcoc": _quotient(of_predicted, of_observed)}
            if one.loss is not None:
                of_loss = times @ (one.weight * one.loss)
                sums["log_loss"] = _quotient(of_loss, times @ one.weight)
                sums["auc"] = ranked[one.name].aucs(times)
            for kind, values in sums.items():
                drawn.setdefault(f"{kind}/{one.name}", []).append(values)
    return {name: interval(np.concatenate(parts)) for name, parts in drawn.items()}


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients [r], NaN where the denominator is 0."""
    quotient = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=denominator > 0)
