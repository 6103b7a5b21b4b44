"""The bootstrap against closed forms, scikit-learn, and DeLong's standard error of an AUC."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tafe_tf.metrics.bootstrap import RankedRows, interval, over_seeds, p_value, resamples


def rows(n: int, separation: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels."""
    labels = np.random.default_rng(n).random(n) < 0.3
    noise = np.random.default_rng(n + 1).normal(size=n)
    return np.round(noise + separation * labels, 1), labels


def all_samples(n: int, group: np.ndarray | None, replicates: int) -> np.ndarray:
    return np.concatenate(list(resamples(n, group, replicates)))


def test_each_sample_has_scikit_learns_auc() -> None:
    scores, labels = rows(300)
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, 300)
    which = rng.random(300) < 0.8
    counts = all_samples(300, None, 7)
    aucs = RankedRows(scores, labels, weight, which).aucs(counts)
    for auc, count in zip(aucs, counts, strict=True):
        weights = (weight * count)[which]
        expected = roc_auc_score(labels[which], scores[which], sample_weight=weights)
        assert auc == pytest.approx(expected, rel=1e-6)
    assert np.isnan(RankedRows(scores, np.zeros(300), weight).aucs(counts)).all()


def test_without_a_row_that_counts_there_is_no_auc() -> None:
    scores, labels = rows(20)
    none = np.zeros(20, np.bool_)
    aucs = RankedRows(scores, labels, np.ones(20), none).aucs(np.ones((3, 20)))
    assert aucs.shape == (3,) and np.isnan(aucs).all()


def test_samples_are_the_same_each_time_and_draw_whole_groups() -> None:
    group = np.repeat([3, 9, 5, 7], [1, 4, 2, 3])
    counts = all_samples(10, group, 50)
    np.testing.assert_array_equal(counts, all_samples(10, group, 50))
    of_groups = []
    for g in np.unique(group):
        of_rows = counts[:, group == g]
        assert (np.ptp(of_rows, axis=1) == 0).all()
        of_groups.append(of_rows[:, 0])
    drawn = np.stack(of_groups, axis=1)
    assert (drawn.sum(axis=1) == 4).all()
    # binomial(4, 1/4)
    assert drawn.mean() == pytest.approx(1.0)
    assert drawn.var() == pytest.approx(0.75, rel=0.2)


def test_rows_without_a_group_are_drawn_one_by_one() -> None:
    group = np.array([7, 0, 7, 0, 0, 9], np.uint64)
    counts = all_samples(6, group, 200)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    alone = counts[:, [1, 3, 4]]
    assert (np.ptp(alone, axis=1) > 0).any()
    drawn = np.column_stack([counts[:, 0], counts[:, 5], alone])
    assert (drawn.sum(axis=1) == 5).all()  # two groups and three single rows


def delong_sd(scores: np.ndarray, labels: np.ndarray) -> float:
    """The standard error of an AUC (DeLong, DeLong, Clarke-Pearson 1988), from all pairs."""
    positive = scores[labels][:, None]
    negative = scores[~labels]
    wins = (positive > negative) + 0.5 * (positive == negative)
    of_positives = wins.mean(axis=1).var(ddof=1) / labels.sum()
    of_negatives = wins.mean(axis=0).var(ddof=1) / (~labels).sum()
    return float(np.sqrt(of_positives + of_negatives))


def test_the_spread_is_delongs() -> None:
    scores, labels = rows(600)
    expected = delong_sd(scores, labels)
    single = RankedRows(scores, labels, np.ones(600)).aucs(all_samples(600, None, 2000))
    assert single.std() == pytest.approx(expected, rel=0.1)
    low, high = interval(single) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 * expected, rel=0.1)


def test_copies_of_rows_in_one_group_tell_no_more_than_the_rows() -> None:
    scores, labels = rows(600)
    four_times = RankedRows(np.repeat(scores, 4), np.repeat(labels, 4), np.ones(2400))
    group = np.repeat(np.arange(600), 4)
    grouped = four_times.aucs(all_samples(2400, group, 2000))
    assert grouped.std() == pytest.approx(delong_sd(scores, labels), rel=0.1)


def test_seeds_add_their_spread() -> None:
    by_seed = np.array([0.6, 0.7, 0.8, 0.9])
    aucs = np.repeat(by_seed[:, None], 4000, axis=1)  # rows add no noise
    drawn = over_seeds(aucs)
    assert drawn.mean() == pytest.approx(0.75, abs=0.002)
    assert drawn.std() == pytest.approx(np.std(by_seed) / 2, rel=0.05)
    np.testing.assert_array_equal(over_seeds(aucs[:1]), aucs[0])


def test_p_values() -> None:
    noise = np.random.default_rng(1).normal(size=100_000)
    assert p_value(noise + 1.96) == pytest.approx(0.05, rel=0.1)
    assert p_value(noise - 1.96) == pytest.approx(0.05, rel=0.1)
    assert p_value(np.zeros(99)) == 1.0
    assert p_value(np.full(99, 0.1)) == pytest.approx(2 / 100)
    assert interval(np.full(5, np.nan)) is None
