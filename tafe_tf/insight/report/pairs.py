"""Two models on the same rows: by how much their metrics differ, with intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tafe_tf.insight.figures.daily import SHARE, DailyLift, daily_lifts
from tafe_tf.insight.slices.measured import Measured, Rows, measured
from tafe_tf.metrics.bootstrap import RankedRows, interval, resamples
from tafe_tf.schema import Schema

Interval = tuple[float, float] | None


class Difference(NamedTuple):
    """The metrics of one output, the other model's less this one's.

    Attributes:
        name: Of the output.
        auc: Difference of the AUCs; None if one is undefined.
        auc_interval: Its 95 % bootstrap interval.
        log_loss: Difference of the log losses.
        log_loss_interval: Its 95 % bootstrap interval.
    """

    name: str
    auc: float | None
    auc_interval: Interval
    log_loss: float | None
    log_loss_interval: Interval


def are_same_rows(one: Rows, other: Rows) -> bool:
    """Whether two models were asked about the same rows, as far as labels and weights tell."""
    names = ("depth", "unknown", "weight", "group")
    is_same = [
        np.array_equal(one[name], other[name]) for name in names if name in one and name in other
    ]
    return len(is_same) >= 3 and all(is_same)


def lifts_by_day(
    days: np.ndarray,
    new: Rows,
    other: Rows,
    schema: Schema,
    share: float = SHARE,
) -> dict[str, list[DailyLift]]:
    """How many more outcomes one model finds than the other, by day, for each step of the funnel.

    Args:
        days: The day of each row, texts, [n].
        new: The rows as a model predicts them, see `Predictions.arrays`.
        other: The same rows as the other model predicts them.
        schema: Theirs.
        share: Of each day's rows, how many a model takes; 0.1 by default.
    """
    found = {}
    outputs = zip(measured(new, schema), measured(other, schema), strict=False)
    for mine, theirs in outputs:
        if mine.name in schema.step_names:
            found[mine.name] = daily_lifts(days, mine, theirs, new.get("group"), share)
    return found


def differences(
    one: Rows,
    other: Rows,
    schema: Schema,
    replicates: int = 200,
) -> list[Difference]:
    """Subtracts the metrics of a model from another's, both on the same bootstrap samples.

    Args:
        one: The model that is subtracted, see `Predictions.arrays`.
        other: The other model, the same rows in the same order.
        schema: Theirs.
        replicates: How many bootstrap samples give the intervals. Default: 200.

    Returns:
        The difference of each step and conditional.
    """
    pairs = []
    for mine, theirs in zip(measured(one, schema), measured(other, schema), strict=False):
        if mine.loss is not None and theirs.loss is not None and mine.name == theirs.name:
            pairs.append((mine, theirs))
    group = one.get("group")
    rows = len(one["depth"])
    once = np.ones((1, rows), np.float32)
    ranked = [(_ranked(mine), _ranked(theirs)) for mine, theirs in pairs]
    aucs: list[list[np.ndarray]] = [[] for _ in pairs]
    losses: list[list[np.ndarray]] = [[] for _ in pairs]
    for times in resamples(rows, group, replicates):
        for i, (mine, theirs) in enumerate(pairs):
            aucs[i].append(ranked[i][1].aucs(times) - ranked[i][0].aucs(times))
            losses[i].append(_mean_difference(mine, theirs, times))
    found = []
    for i, (mine, theirs) in enumerate(pairs):
        of_auc = ranked[i][1].aucs(once) - ranked[i][0].aucs(once)
        of_loss = _mean_difference(mine, theirs, once)
        found.append(
            Difference(
                mine.name,
                _known(of_auc),
                interval(np.concatenate(aucs[i])),
                _known(of_loss),
                interval(np.concatenate(losses[i])),
            )
        )
    return found


def _ranked(one: Measured) -> RankedRows:
    return RankedRows(one.score, one.observed, one.weight, one.weight > 0)


def _mean_difference(mine: Measured, theirs: Measured, times: np.ndarray) -> np.ndarray:
    """The difference of the mean losses in each sample, [r]; NaN without weight."""
    assert mine.loss is not None, "pairs have a loss"
    assert theirs.loss is not None, "pairs have a loss"
    total = times @ (mine.weight * (theirs.loss - mine.loss))
    weight = times @ mine.weight
    return np.divide(total, weight, out=np.full(len(times), np.nan), where=weight > 0)


def _known(values: np.ndarray) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None
