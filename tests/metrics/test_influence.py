"""Influences against derivatives of the metrics, and how often intervals hold the true value."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.metrics import auc, hashes
from tafe_tf.metrics.influence import (
    Estimate,
    auc_estimate,
    difference,
    mean_estimate,
    normal_interval,
)


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, labels that depend on them, and weights, one of which is 0."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=count), 1)
    labels = (rng.random(count) < 1 / (1 + np.exp(-scores))).astype(np.float64)
    weight = rng.uniform(0.5, 2.0, count)
    weight[0] = 0.0
    return scores, labels, weight


def test_influences_are_weights_times_derivatives() -> None:
    scores, labels, weight = drawn(60)
    found = auc_estimate(scores, weight * labels, weight * (1 - labels))
    mean = mean_estimate(scores, weight)
    assert found is not None and mean is not None
    assert found.value == auc(scores, weight * labels, weight * (1 - labels))
    assert mean.value == pytest.approx(np.average(scores, weights=weight))
    assert found.influence.sum() == pytest.approx(0.0, abs=1e-12)
    small = 1e-6
    for row in range(60):
        values = []
        for sign in (-1, 1):
            moved = weight.copy()
            moved[row] *= 1 + sign * small
            area = auc(scores, moved * labels, moved * (1 - labels))
            assert area is not None
            values.append((area, np.average(scores, weights=moved)))
        of_auc, of_mean = (np.array(values[1]) - values[0]) / (2 * small)
        assert found.influence[row] == pytest.approx(of_auc, abs=1e-8)
        assert mean.influence[row] == pytest.approx(of_mean, abs=1e-8)


def test_without_a_positive_or_a_weight_there_is_no_estimate() -> None:
    scores = np.arange(3.0)
    assert auc_estimate(scores, np.zeros(3), np.ones(3)) is None
    assert mean_estimate(scores, np.zeros(3)) is None


def test_intervals_of_a_difference_hold_the_true_one_as_often_as_they_say() -> None:
    """Two scores of the same quality, on the same rows; 400 samples."""
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        labels = (rng.random(300) < 0.3).astype(np.float64)
        common = labels + rng.normal(size=300)
        estimates = []
        for _ in range(2):
            estimates.append(auc_estimate(common + rng.normal(size=300), labels, 1 - labels))
        one, other = estimates
        assert one is not None and other is not None
        low, high = normal_interval(difference(one, other))
        held += low <= 0.0 <= high
    assert 0.92 < held / 400 < 0.98  # 95 %, give or take 2.75 standard errors


def test_rows_of_a_group_count_as_one() -> None:
    values = np.repeat(np.arange(10.0), 5)
    each = mean_estimate(values, np.ones(50))
    alone = mean_estimate(np.arange(10.0), np.ones(10))
    assert each is not None and alone is not None
    group = hashes(np.repeat([f"u{i}" for i in range(10)], 5), (50,))
    np.testing.assert_allclose(normal_interval(each, group), normal_interval(alone))
    without = hashes(np.full(50, ""), (50,))  # rows without a group are alone
    np.testing.assert_array_equal(normal_interval(each, without), normal_interval(each))


def test_an_estimate_that_no_row_moves_is_certain() -> None:
    assert normal_interval(Estimate(0.0, np.zeros(9))) == (0.0, 0.0)
