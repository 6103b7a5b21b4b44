"""How deep rows go, where some know it only within bounds, against closed forms and the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tafe_tf.data.blocks.maturity import completed
from tafe_tf.metrics import weights_of_steps
from tafe_tf.metrics.depths import counts_of_intervals, shares_of_depths

SHARES = np.array([0.6, 0.25, 0.1, 0.05])  # of the depths 0 to 3


def interval_counts(seed: int, rows: int = 300) -> np.ndarray:
    """Rows of which each knows of each label with a chance of its own."""
    depth, unknown, _ = logged(seed, rows)
    return counts_of_intervals(depth, unknown, np.ones(rows), 3)


def logged(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many steps rows know to have reached, how many they do not know, and the truth."""
    rng = np.random.default_rng(seed)
    true_depth = rng.choice(4, rows, p=SHARES)
    labels = (true_depth[:, None] > np.arange(3)).astype(int)
    labels[rng.random(labels.shape) < (0.5, 0.3, 0.6)] = -1
    labels = completed(labels)
    return (labels > 0).sum(axis=1), (labels < 0).sum(axis=1), true_depth


@pytest.mark.parametrize("seed", range(3))
def test_shares_have_the_greatest_likelihood(seed: int) -> None:
    counts = interval_counts(seed)

    def loss(logits: np.ndarray) -> float:
        shares = np.exp(logits) / np.exp(logits).sum()
        total = 0.0
        for depth, unknown in np.argwhere(counts):
            inside = shares[depth : depth + unknown + 1].sum()
            total -= counts[depth, unknown] * np.log(inside)
        return total

    best = minimize(loss, np.zeros(4), tol=1e-10)
    expected = np.exp(best.x) / np.exp(best.x).sum()
    assert shares_of_depths(counts) == pytest.approx(expected, abs=1e-4)


def test_a_purchase_that_tells_of_its_click_is_no_reason_to_count_it_more() -> None:
    """Half of the clicks were not logged; where a purchase was, there was a click all the same."""
    depth = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])  # as known, of which two are purchases
    unknown = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    weights = weights_of_steps(depth, unknown, np.ones(10), 2)
    # Of the eight rows without a purchase, half of those that know it were clicks.
    clicks = depth >= 1
    assert weights[clicks, 0].sum() == pytest.approx(2 + 8 / 2)
    assert weights[:, 0].sum() == pytest.approx(10)
    assert weights[:, 1] == pytest.approx(np.ones(10))  # of purchases all rows know
    of_conditionals = weights_of_steps(depth, unknown, np.ones(10), 2, of_conditionals=True)
    bought = of_conditionals[depth == 2, 1].sum()
    assert bought / of_conditionals[clicks, 1].sum() == pytest.approx(2 / 6)


def test_rows_that_know_stand_for_all_whatever_is_unknown() -> None:
    rows = 200_000
    depth, unknown, true_depth = logged(5, rows)
    weights = weights_of_steps(depth, unknown, np.ones(rows), 3)
    of_conditionals = weights_of_steps(depth, unknown, np.ones(rows), 3, of_conditionals=True)
    for i in range(3):
        happened = weights[depth > i, i].sum()
        assert happened / rows == pytest.approx((true_depth > i).mean(), rel=0.02)
        assert weights[:, i].sum() == pytest.approx(rows)
        reached = of_conditionals[depth >= i, i].sum()
        rate = of_conditionals[depth > i, i].sum() / reached
        assert rate == pytest.approx((true_depth > i).sum() / (true_depth >= i).sum(), rel=0.03)


def test_weights_of_steps_weigh_what_is_known_of_the_step() -> None:
    depth, unknown, weight = np.array([1, 1, 1, 2]), np.array([1, 1, 0, 0]), np.ones((4, 2))
    weight[0, 1] = 0.0  # for it no row has to stand
    weights = weights_of_steps(depth, unknown, weight, 2)
    assert weights[:, 1] == pytest.approx([0.0, 0.0, 1.5, 1.5])


def test_no_row_counts_where_none_knows_what_happened() -> None:
    depth, unknown = np.array([0, 1, 1]), np.array([0, 1, 1])
    weights = weights_of_steps(depth, unknown, np.ones(3), 2)
    assert weights[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert weights_of_steps(depth[:0], unknown[:0], np.ones(0), 2).shape == (0, 2)
    assert shares_of_depths(np.zeros((3, 3))).tolist() == [0.0, 0.0, 0.0]
