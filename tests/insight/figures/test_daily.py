"""The lift by day on a known truth, and what is done with ties."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.insight.figures.daily import DailyLift, daily_lifts
from tafe_tf.insight.slices.measured import Measured

DAYS = 4


def output(score: np.ndarray, observed: np.ndarray) -> Measured:
    n = len(score)
    return Measured("ctr", score, observed, np.ones(n), np.zeros(n), score)


def a_log(seed: int, rows_a_day: int = 500) -> list[DailyLift]:
    """Half of the rows convert with 0.3, half with 0.1; the new model knows which, the other not.

    The new model's best tenth then converts with 0.3, the other's with 0.2: the lift is 0.5.
    """
    rng = np.random.default_rng(seed)
    n = DAYS * rows_a_day
    is_good = rng.permutation(n) % 2 == 0
    observed = (rng.random(n) < np.where(is_good, 0.3, 0.1)).astype(np.float64)
    days = np.repeat([f"2026-11-0{day + 1}" for day in range(DAYS)], rows_a_day)
    new = output(is_good + 0.1 * rng.random(n), observed)
    other = output(rng.random(n), observed)
    return daily_lifts(days, new, other, share=0.25, replicates=100)


def test_a_known_lift_is_inside_the_interval_as_often_as_it_says() -> None:
    inside = []
    estimates = []
    for seed in range(30):
        *_, every = a_log(seed)
        assert every.day == "all days" and every.rows == DAYS * 500
        assert every.interval is not None and every.lift is not None
        inside.append(every.interval[0] <= 0.5 <= every.interval[1])
        estimates.append(every.lift)
    # 95 % of 30 are 28.5; fewer than 25 have a chance of 0.3 %.
    assert sum(inside) >= 25
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(0.5, abs=4 * error)


def test_a_day_is_counted_as_by_hand() -> None:
    rng = np.random.default_rng(3)
    n = 400
    observed = (rng.random(n) < 0.4).astype(np.float64)
    days = np.where(np.arange(n) % 2, "b", "a")
    scores = rng.random((2, n))
    found = daily_lifts(days, output(scores[0], observed), output(scores[1], observed))
    assert [one.day for one in found] == ["a", "b", "all days"]
    counted = np.zeros((2, 2))
    for i, day in enumerate(("a", "b")):
        rows = np.flatnonzero(days == day)
        for j in range(2):
            best = rows[np.argsort(-scores[j, rows])[:20]]
            counted[i, j] = observed[best].sum()
        assert found[i].lift == pytest.approx(counted[i, 0] / counted[i, 1] - 1)
        assert found[i].rows == 200
    sums = counted.sum(axis=0)
    assert found[2].lift == pytest.approx(sums[0] / sums[1] - 1)


def test_ties_favour_nobody() -> None:
    observed = np.array([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    same = output(np.zeros(10), observed)
    best_first = output(np.array([5.0, 4, 3, 3, 3, 3, 3, 3, 3, 3]), observed)
    day, _ = daily_lifts(np.full(10, "a"), best_first, same, share=0.2)
    assert day.lift == pytest.approx(2.0 / (0.2 * 2) - 1)


def test_a_day_without_an_outcome_has_no_lift() -> None:
    observed = np.zeros(10)
    one = output(np.arange(10.0), observed)
    day, _ = daily_lifts(np.full(10, "a"), one, one)
    assert (day.lift, day.interval) == (None, None)


def test_rows_of_a_group_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    of_users = rng.random(100)
    outcomes = (rng.random(100) < 0.3).astype(np.float64)
    scores = [rng.random(100), of_users]
    repeated = [output(np.repeat(score, 20), np.repeat(outcomes, 20)) for score in scores]
    days = np.full(2000, "a")
    new, other = repeated
    group = np.repeat(np.arange(1, 101), 20)
    widths = []
    for of_rows in (None, group):
        one, _ = daily_lifts(days, new, other, of_rows, share=0.3, replicates=300)
        assert one.interval is not None
        widths.append(one.interval[1] - one.interval[0])
    assert widths[1] > 2.5 * widths[0]
