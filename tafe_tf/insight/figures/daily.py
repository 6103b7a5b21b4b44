"""How many more outcomes one model finds than another, day by day.

The paper's Figure 9 is an online test: two models choose whom to serve, and outcomes are counted.
From a log, whose rows were shown whatever either model thought of them, this answers another,
nearby question: had each day's budget allowed only a share of that day's rows, and had each model
taken the rows that it scores highest, how many outcomes would the rows of the one have had beside
those of the other?

    lift = outcomes in the new model's rows / outcomes in the other's rows - 1

Rows of one score are taken in part, so that ties favour nobody. The interval is a paired bootstrap
over the rows of a day (or its groups): both models choose anew in each sample. It says what could
have come out of the same log; that a row's outcome does not depend on who chose it is assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tafe_tf.insight.slices.measured import Measured
from tafe_tf.metrics.bootstrap import interval, resamples

SHARE = 0.1


class DailyLift(NamedTuple):
    """The lift of one day.

    Attributes:
        day: As the column has it.
        rows: How many rows it has.
        lift: The lift; None if the other model's rows had no outcome.
        interval: Its 95 % bootstrap interval.
    """

    day: str
    rows: int
    lift: float | None
    interval: tuple[float, float] | None


def daily_lifts(
    days: np.ndarray,
    new: Measured,
    other: Measured,
    group: np.ndarray | None = None,
    share: float = SHARE,
    replicates: int = 400,
) -> list[DailyLift]:
    """The lift of each day and of all days.

    Args:
        days: The day of each row, texts, [n].
        new: A model's output on the rows.
        other: The other model's output on the same rows.
        group: Hashes; rows of one group are drawn together. Default: None.
        share: Of each day's rows, how many a model takes; 0.1 by default.
        replicates: How many bootstrap samples give the intervals. Default: 400.

    Returns:
        The days in their order; the last entry, "all days", sums the outcomes of all days.
    """
    names, place = np.unique(days, return_inverse=True)
    found = []
    sums = np.zeros((2, 1))
    drawn_sums = np.zeros((2, replicates))
    for i, name in enumerate(names):
        rows = np.flatnonzero((place == i) & (new.weight > 0))
        if not len(rows):
            continue
        of_day = group[rows] if group is not None else None
        choosers = [_Chooser(one, rows, share) for one in (new, other)]
        once = np.ones((1, len(rows)), np.float32)
        counted = np.stack([one.outcomes(once) for one in choosers])
        parts: list[np.ndarray] = []
        for times in resamples(len(rows), of_day, replicates, seed=i):
            parts.append(np.stack([one.outcomes(times) for one in choosers]))
        drawn = np.concatenate(parts, axis=1)
        sums += counted
        drawn_sums += drawn
        found.append(_lift(str(name), len(rows), counted, drawn))
    total = sum(one.rows for one in found)
    found.append(_lift("all days", total, sums, drawn_sums))
    return found


def _lift(day: str, rows: int, counted: np.ndarray, drawn: np.ndarray) -> DailyLift:
    lift = float(counted[0, 0] / counted[1, 0] - 1) if counted[1, 0] > 0 else None
    ratio = np.full(drawn.shape[1], np.nan)
    np.divide(drawn[0], drawn[1], out=ratio, where=drawn[1] > 0)
    return DailyLift(day, rows, lift, interval(ratio - 1))


class _Chooser:
    """Takes the share of some rows that a model scores highest, in many samples at once."""

    def __init__(self, one: Measured, rows: np.ndarray, share: float) -> None:
        score = one.score[rows]
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        is_new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
        self._ties = np.flatnonzero(is_new)
        self._weight = one.weight[rows][self._order]
        self._outcome = self._weight * one.observed[rows][self._order]
        self._share = share

    def outcomes(self, times: np.ndarray) -> np.ndarray:
        """The outcomes in the chosen rows of each sample, [r], of how often rows were drawn."""
        drawn = times[:, self._order].astype(np.float64)
        mass = np.add.reduceat(drawn * self._weight, self._ties, axis=1)
        outcome = np.add.reduceat(drawn * self._outcome, self._ties, axis=1)
        before = np.cumsum(mass, axis=1) - mass
        budget = self._share * mass.sum(axis=1, keepdims=True)
        room = np.clip(budget - before, 0.0, mass)
        part = np.divide(room, mass, out=np.zeros_like(mass), where=mass > 0)
        return np.asarray((part * outcome).sum(axis=1))
