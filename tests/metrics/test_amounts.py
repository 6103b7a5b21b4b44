"""Metrics of amounts against all pairs of rows and plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from twins import amounts as twin

from tafe_tf.metrics import FunnelMetrics, deciles, normalised_gini, weights_of_amounts

NAMES = ("amount_given_buy", "expected_amount")


def test_the_gini_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    score = rng.integers(0, 12, 60) / 7.0  # with ties
    amounts = np.where(rng.random(60) < 0.4, rng.lognormal(size=60), 0.0)
    weight = rng.uniform(0.1, 3.0, 60)
    expected = twin.gini(score, amounts, weight) / twin.gini(amounts, amounts, weight)
    assert normalised_gini(score, amounts, weight) == pytest.approx(expected, abs=1e-12)
    assert normalised_gini(amounts, amounts, weight) == pytest.approx(1.0, abs=1e-12)
    assert normalised_gini(-amounts, amounts, weight) == pytest.approx(-1.0, abs=1e-12)


def test_a_gini_without_differences_is_undefined() -> None:
    ones = np.ones(3)
    assert normalised_gini(np.arange(3.0), ones, ones) is None
    assert normalised_gini(np.arange(3.0), 0 * ones, ones) is None
    assert normalised_gini(ones[:0], ones[:0], ones[:0]) is None


def test_deciles_are_means_of_tenths() -> None:
    rng = np.random.default_rng(1)
    predicted, observed = rng.permutation(100) / 3.0, rng.uniform(size=100)
    order = np.argsort(predicted).reshape(10, 10)
    expected = [(predicted[rows].mean(), observed[rows].mean()) for rows in order]
    found = deciles(predicted, observed, np.ones(100))
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-12)
    equal = deciles(np.ones(7), observed[:7], np.ones(7))
    assert [place for place, pair in enumerate(equal) if pair] == [5]  # one prediction, one decile
    assert deciles(predicted[:0], observed[:0], observed[:0]) == [None] * 10


def test_rows_that_know_their_amount_stand_for_those_that_do_not() -> None:
    observed = np.array([0.0, 3.0, 5.0, np.nan, np.nan])
    happened = np.array([False, True, True, True, False])
    weight = np.array([1.0, 1.0, 3.0, 2.0, 0.0])  # the last row does not know its label
    found = weights_of_amounts(observed, happened, weight)
    np.testing.assert_allclose(found, [1.0, 1.5, 4.5, 0.0, 0.0], rtol=1e-12)


def test_all_metrics_of_a_funnel() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(400, 2))
    labels = (rng.random((400, 1)) < [[0.6, 0.3]]).astype(np.int64)
    given = rng.uniform(1, 9, 400)
    observed = np.where(labels[:, 1] == 1, rng.lognormal(size=400), 0.0)
    weight = rng.uniform(0.5, 2.0, 400)
    metrics = FunnelMetrics(["ctr", "ctcvr"], ["cvr"], amount_names=NAMES)
    for rows in (slice(0, 150), slice(150, 400)):
        metrics.update(
            logits[rows],
            labels[rows],
            sample_weight=weight[rows],
            amount=observed[rows],
            amount_given=given[rows],
        )
    result = metrics.result()
    weight = weight.astype(np.float32).astype(np.float64)
    expected = expit(np.float32(logits).min(axis=1).astype(np.float64)) * given
    ratio = (weight * expected).sum() / (weight * observed).sum()
    assert result["pcoc/expected_amount"] == pytest.approx(ratio, rel=1e-12)
    bought = labels[:, 1] == 1
    ratio = (weight * given)[bought].sum() / (weight * observed)[bought].sum()
    assert result["pcoc/amount_given_buy"] == pytest.approx(ratio, rel=1e-12)
    assert result["rows/amount_given_buy"] == bought.sum()
    gini = twin.gini(expected, observed, weight) / twin.gini(observed, observed, weight)
    assert result["gini/expected_amount"] == pytest.approx(gini, abs=1e-10)
    assert "auc/ctcvr" in result and "decile_10_observed/expected_amount" in result


def test_metrics_without_a_row_are_undefined() -> None:
    none = np.zeros((0, 2))
    metrics = FunnelMetrics(["ctr", "ctcvr"], ["cvr"], amount_names=NAMES)
    metrics.update(none, none, amount=none[:, 0], amount_given=none[:, 0])
    result = metrics.result()
    assert result["gini/expected_amount"] is None and result["pcoc/expected_amount"] is None
    assert result["decile_1_predicted/expected_amount"] is None


@pytest.mark.parametrize(("amount", "given"), [(-1.0, 1.0), (1.0, np.nan), (np.inf, 1.0)])
def test_amounts_that_are_none_are_refused(amount: float, given: float) -> None:
    metrics = FunnelMetrics(["ctr"], [], amount_names=("amount_given_click", "expected_amount"))
    with pytest.raises(ValueError, match=r"^amount"):
        metrics.update(
            np.zeros((1, 1)),
            np.ones((1, 1)),
            amount=np.array([amount]),
            amount_given=np.array([given]),
        )
