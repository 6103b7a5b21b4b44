"""AUC against scikit-learn and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from tafe_tf.metrics import auc, grouped_auc


def test_auc_is_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(1)
    scores, p, n = rng.integers(0, 9, 40).astype(float), rng.uniform(size=40), rng.uniform(size=40)
    wins = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
    assert auc(scores, p, n) == pytest.approx(
        (p[:, None] * n * wins).sum() / (p.sum() * n.sum()), rel=1e-12
    )


def test_auc_at_a_rate_of_2e_4() -> None:
    rng = np.random.default_rng(2)
    labels = rng.random(200_000) < 2e-4
    scores = rng.normal(size=200_000).astype(np.float32) + labels
    assert auc(scores, labels * 1.0, 1.0 - labels) == pytest.approx(
        sk.roc_auc_score(labels, scores), abs=1e-12
    )


def test_soft_labels_are_both_rows_at_once() -> None:
    rng = np.random.default_rng(3)
    scores, p = rng.normal(size=50), rng.uniform(size=50)
    both = sk.roc_auc_score(
        np.repeat([1, 0], 50), np.tile(scores, 2), sample_weight=np.concatenate([p, 1 - p])
    )
    assert auc(scores, p, 1 - p) == pytest.approx(both, rel=1e-12)


def test_grouped_auc_of_many_small_groups() -> None:
    rng = np.random.default_rng(6)
    scores, y, w, g = (
        rng.integers(0, 9, 900),
        rng.random(900) < 0.3,
        rng.uniform(0.1, 3, 900),
        rng.integers(0, 300, 900),
    )
    both = [rows for rows in (g == group for group in range(300)) if 0 < y[rows].sum() < rows.sum()]
    areas = [sk.roc_auc_score(y[rows], scores[rows], sample_weight=w[rows]) for rows in both]
    assert 50 < len(both) < 300  # groups of one class are left out
    expected = np.average(areas, weights=[w[rows].sum() for rows in both])
    assert grouped_auc(scores, y.astype(int), w, g) == pytest.approx(expected, rel=1e-12)
    assert grouped_auc(scores, np.zeros(900), w, g) is None


def test_soft_labels_are_the_share_of_won_pairs_over_all_labels() -> None:
    """E[won pairs] / E[pairs] over two independent draws of the labels, enumerated."""
    scores, p = np.array([0.1, 0.2, 0.2, 0.4]), np.array([0.3, 0.1, 0.6, 0.5])
    won = pairs = 0.0
    for first, second in itertools.product(itertools.product([0, 1], repeat=4), repeat=2):
        y, z = np.array(first), 1 - np.array(second)
        chance = float(
            np.prod(np.where(y, p, 1 - p)) * np.prod(np.where(z, 1 - p, p)) * y.sum() * z.sum()
        )
        pairs += chance
        won += chance * (auc(scores, y, z) or 0.0)
    assert auc(scores, p, 1 - p) == pytest.approx(won / pairs, abs=1e-12)
