"""ROC, lift, reliability and distributions against scikit-learn, brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from tafe_tf.insight.report.curves import POINTS, distribution, gains, lifts, reliability, roc
from tafe_tf.insight.slices.measured import Measured
from tafe_tf.metrics import calibration_error


def drawn(count: int, seed: int = 0, ties: int = 0) -> Measured:
    """Rows whose outcomes are drawn from their predictions, with weights."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1.0, 6.0, count)
    if ties:
        p = np.ceil(p * ties) / ties
    observed = (rng.random(count) < p).astype(np.float64)
    weight = rng.uniform(0.5, 2.0, count)
    return Measured("ctr", p, observed, weight, np.zeros(count), np.log(p))


def test_roc_is_scikit_learns() -> None:
    one = drawn(500, ties=40)
    x, y = roc(one)
    expected_x, expected_y, _ = roc_curve(
        one.observed, one.predicted, sample_weight=one.weight, drop_intermediate=False
    )
    np.testing.assert_allclose(x, expected_x, atol=1e-12)
    np.testing.assert_allclose(y, expected_y, atol=1e-12)


def test_a_thinned_roc_keeps_its_area() -> None:
    one = drawn(30_000)
    x, y = roc(one)
    assert len(x) <= POINTS + 2
    area = float(np.trapezoid(y, x))
    expected = roc_auc_score(one.observed, one.predicted, sample_weight=one.weight)
    assert area == pytest.approx(expected, abs=1e-4)


def test_roc_of_one_class_is_empty() -> None:
    one = drawn(10)._replace(observed=np.zeros(10))
    assert [len(values) for values in roc(one)] == [0, 0]
    assert lifts(one, [0.5]) == []


@pytest.mark.parametrize("share", [0.01, 0.1, 0.37, 1.0])
def test_lift_is_that_of_the_best_rows(share: float) -> None:
    one = drawn(1000)._replace(weight=np.ones(1000))
    (lift,) = lifts(one, [share])
    best = np.argsort(-one.score)[: round(1000 * share)]
    assert lift == pytest.approx(one.observed[best].mean() / one.observed.mean(), rel=1e-9)


def test_rows_of_one_score_count_in_part() -> None:
    one = drawn(100)._replace(score=np.zeros(100))
    x, y = gains(one)
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0], [0.0, 1.0])
    assert lifts(one, [0.1, 0.5]) == [1.0, 1.0]


def test_the_bins_are_those_of_the_calibration_error() -> None:
    one = drawn(3000, ties=200)
    curve = reliability(one, bins=20, replicates=20)
    place = np.searchsorted(np.cumsum(curve.rows), np.arange(3000), side="right")
    mass = np.bincount(place, one.weight[np.argsort(one.predicted, kind="stable")])
    error = (mass * np.abs(curve.predicted - curve.observed)).sum() / mass.sum()
    expected = calibration_error(one.predicted, one.observed, one.weight)
    assert error == pytest.approx(expected, rel=1e-9)
    assert curve.rows.sum() == 3000


def test_intervals_of_a_bin_are_as_wide_as_those_of_a_share() -> None:
    one = drawn(6000)._replace(weight=np.ones(6000))
    curve = reliability(one, bins=5, replicates=400)
    deviation = np.sqrt(curve.observed * (1 - curve.observed) / curve.rows)
    np.testing.assert_allclose(curve.high - curve.low, 2 * 1.96 * deviation, rtol=0.2)
    assert ((curve.low < curve.observed) & (curve.observed < curve.high)).all()


def test_rows_of_a_group_are_drawn_together() -> None:
    one = drawn(6000)._replace(weight=np.ones(6000))
    one = one._replace(observed=np.repeat(one.observed[::10], 10), predicted=np.full(6000, 0.3))
    alone = reliability(one, bins=1, replicates=300)
    grouped = reliability(one, np.repeat(np.arange(1, 601), 10), bins=1, replicates=300)
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio[0] == pytest.approx(np.sqrt(10), rel=0.25)


def test_rows_that_know_nothing_are_left_out() -> None:
    one = drawn(100)
    without = one._replace(weight=np.where(np.arange(100) < 50, one.weight, 0.0))
    half = one._replace(
        predicted=one.predicted[:50],
        observed=one.observed[:50],
        weight=one.weight[:50],
        score=one.score[:50],
    )
    for got, expected in zip(reliability(without), reliability(half), strict=True):
        np.testing.assert_allclose(got, expected)
    none = one._replace(weight=np.zeros(100))
    assert len(reliability(none).rows) == 0
    assert distribution(none)[1] == {}


def test_a_distribution_is_a_histogram() -> None:
    one = drawn(5000)
    edges, shares = distribution(one, buckets=10)
    assert len(edges) == 10
    for name, happened in (("happened", 1.0), ("did not", 0.0)):
        inside = one.observed == happened
        above = one.predicted[inside] >= edges[5]
        mass = one.weight[inside]
        assert shares[name].sum() == pytest.approx(1.0)
        assert shares[name][5:].sum() == pytest.approx(mass[above].sum() / mass.sum())
