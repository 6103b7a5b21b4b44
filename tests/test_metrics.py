"""Metrics against scikit-learn, brute force and definitions."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sk

from tafe_tf.metrics import FunnelMetrics, auc, calibration_error, grouped_auc

NAMES = (("p_a", "p_b", "p_c"), ("p_b_given_a", "p_c_given_b"))


def funnel(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits with ties, nested labels, weights, groups."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal([-0.5, -1.5, -2.5], 1.0, (rows, 3)), 2).astype(np.float32)
    labels = (rng.integers(0, 4, (rows, 1)) > np.arange(3)).astype(np.float32)
    return logits, labels, rng.uniform(0.1, 3, rows).astype(np.float32), rng.integers(0, 9, rows)


def collect(*parts: tuple[np.ndarray, ...]) -> FunnelMetrics:
    collected = FunnelMetrics(*NAMES)
    for logits, labels, weight, group in parts:
        collected.update(logits, labels, weight, group)
    return collected


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


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


def test_everything_against_scikit_learn() -> None:
    logits, labels, weight, group = data = funnel(3000)
    result = collect(data).result()
    p = sigmoid(logits)
    for i, name in enumerate(NAMES[0]):
        y = labels[:, i]
        assert result[f"auc/{name}"] == pytest.approx(
            sk.roc_auc_score(y, p[:, i], sample_weight=weight), abs=1e-9
        )
        assert result[f"log_loss/{name}"] == pytest.approx(
            sk.log_loss(y, p[:, i], sample_weight=weight), rel=1e-6
        )
        assert result[f"pcoc/{name}"] == pytest.approx(
            np.sum(weight * p[:, i]) / np.sum(weight * y), rel=1e-6
        )
    for i, name in enumerate(NAMES[1], start=1):
        rows = labels[:, i - 1] == 1
        y, w, ratio = labels[rows, i], weight[rows], np.minimum(p[rows, i] / p[rows, i - 1], 1)
        assert result[f"auc/{name}"] == pytest.approx(
            sk.roc_auc_score(y, ratio, sample_weight=w), abs=1e-4
        )
        clipped = np.clip(ratio, 1e-7, 1 - 1e-7)
        assert result[f"log_loss/{name}"] == pytest.approx(
            sk.log_loss(y, clipped, sample_weight=w), rel=1e-6
        )
    areas, masses = [], []
    for g in range(9):
        rows = group == g
        areas.append(sk.roc_auc_score(labels[rows, 0], logits[rows, 0], sample_weight=weight[rows]))
        masses.append(weight[rows].sum())
    assert result["gauc/p_a"] == pytest.approx(np.average(areas, weights=masses), rel=1e-6)
    wrong = ((logits[:, 1] > logits[:, 0]) | (logits[:, 2] > logits[:, 1])) @ weight / weight.sum()
    assert result["violation_rate"] == pytest.approx(wrong, rel=1e-6)
    assert result["rows"] == 3000


def test_calibration_error_by_its_definition() -> None:
    rng = np.random.default_rng(4)
    p = rng.permutation(np.linspace(0.01, 0.99, 400))
    y = (rng.random(400) < p**2).astype(float)
    bins = (
        np.argsort(np.argsort(p)) // 20
    )  # distinct predictions and equal weights: 20 bins of 20 rows
    expected = np.mean([abs(p[bins == b].mean() - y[bins == b].mean()) for b in range(20)])
    assert calibration_error(p, y, np.ones(400)) == pytest.approx(expected, rel=1e-12)
    assert calibration_error(np.full(10, 0.3), np.eye(10)[0], np.ones(10)) == pytest.approx(
        0.2
    )  # ties: one bin
    assert calibration_error(p[:0], y[:0], y[:0]) is None


def test_batches_and_workers_give_the_same_numbers_bit_for_bit() -> None:
    data = funnel(500)
    whole = collect(data).result()
    parts = [tuple(x[i : i + 77] for x in data) for i in range(0, 500, 77)]
    left, right = collect(*parts[4:]), collect(*parts[1:4])
    right.merge(collect(parts[0]))
    left.merge(right)
    assert left.result() == whole


def test_a_weight_of_two_is_a_row_twice() -> None:
    logits, labels, _, _ = funnel(100)
    twice = FunnelMetrics(*NAMES)
    twice.update(np.repeat(logits, 2, 0), np.repeat(labels, 2, 0))
    weighted = FunnelMetrics(*NAMES)
    weighted.update(logits, labels, np.full(100, 2.0))
    a, b = twice.result(), weighted.result()
    assert {k: v for k, v in a.items() if k != "rows"} == pytest.approx(
        {k: v for k, v in b.items() if k != "rows"}
    )


def test_undefined_is_missing() -> None:
    empty = FunnelMetrics(*NAMES).result()
    assert empty.pop("rows") == 0
    assert set(empty.values()) == {None}
    one = FunnelMetrics(*NAMES)
    one.update(np.zeros((1, 3)), np.array([[1, 0, 0]]))
    one.update(np.zeros((0, 3)), np.zeros((0, 3)))
    result = one.result()
    assert result["auc/p_a"] is None and result["log_loss/p_a"] == pytest.approx(np.log(2))
    assert (
        result["pcoc/p_b"] is None
        and result["auc/p_c_given_b"] is None
        and result["log_loss/p_c_given_b"] is None
    )


def test_truth() -> None:
    rng = np.random.default_rng(5)
    truth = np.cumprod(rng.uniform(0.1, 0.9, (2000, 2)), axis=1)
    labels = (truth > rng.random((2000, 1))).astype(float)
    collected = FunnelMetrics(("ctr", "ctcvr"), ("cvr",))
    logits = np.log(truth / (1 - truth))
    collected.update(logits, labels, truth=truth)
    result = collected.result()
    for name in ("ctr", "ctcvr", "cvr", "cvr_unreached"):  # the truth itself is as good as can be
        assert result[f"truth_auc/{name}"] == pytest.approx(
            result[f"truth_auc_best/{name}"], abs=1e-5
        )
        assert result[f"truth_ratio/{name}"] == pytest.approx(1, abs=1e-6)
        assert result[f"truth_mae/{name}"] == pytest.approx(0, abs=1e-6)
    never = labels[:, 0] == 0
    cvr = (truth[:, 1] / truth[:, 0])[never]
    assert result["truth_auc/cvr_unreached"] == pytest.approx(auc(cvr, cvr, 1 - cvr), abs=1e-5)
    draws = [auc(cvr, d * 1.0, 1.0 - d) for d in (rng.random(len(cvr)) < cvr for _ in range(200))]
    assert result["truth_auc/cvr_unreached"] == pytest.approx(
        np.mean(np.array(draws, float)), abs=3e-3
    )  # what labels would give


def test_groups_of_text_and_bytes_are_one() -> None:
    data = funnel(60)
    results = []
    for group in (
        data[3].astype(str).astype(object),
        np.array([str(g).encode() for g in data[3]], object),
    ):
        results.append(collect((*data[:3], group)).result())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("logits", "labels", "text"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2)), r"must be \[B, 3\]. Received: \(2, 2\) and \(2, 2\)"),
        (np.zeros((2, 3)), np.zeros((1, 3)), r"Received: \(2, 3\) and \(1, 3\)"),
        (
            np.array([[0, np.nan, np.inf]]),
            np.zeros((1, 3)),
            "logits must be finite. Received: 2 of 3 that are not",
        ),
    ],
)
def test_errors(logits: np.ndarray, labels: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FunnelMetrics(*NAMES).update(logits, labels)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_keeps_ties_together_under_any_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y, w = rng.integers(1, 40, 500) / 40, rng.integers(0, 2, 500), rng.uniform(0.1, 5, 500)
    gaps = np.zeros(20)
    for value in np.unique(p):  # the bin in which the middle of the tied rows' weight lies
        middle = (w[p < value].sum() + w[p <= value].sum()) / 2 / w.sum()
        gaps[int(20 * middle)] += (w * (p - y))[p == value].sum()
    assert calibration_error(p, y, w) == pytest.approx(np.abs(gaps).sum() / w.sum(), rel=1e-12)


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


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_over_any_workers_give_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = (*funnel(600), np.sort(rng.random((600, 3)))[:, ::-1])
    workers = [FunnelMetrics(*NAMES) for _ in range(3)]
    for batch in np.array_split(rng.permutation(600), 11):
        workers[rng.integers(3)].update(*(x[batch] for x in data))
    first, *others = workers
    first.result()  # a look between updates changes nothing
    for other in others:
        first.merge(other)
    whole = FunnelMetrics(*NAMES)
    whole.update(*data)
    assert first.result() == whole.result() == first.result()


def test_a_conditional_cut_to_one() -> None:
    metrics = FunnelMetrics(("ctr", "ctcvr"), ("cvr",))
    logits = np.array([[0.0, -1.0], [0.0, 1.0], [-2.0, -2.0], [-3.0, 3.0]])
    metrics.update(
        logits, np.array([[1, 0], [1, 1], [0, 0], [1, 0]]), np.array([1.0, 2.0, 3.0, 4.0])
    )
    result, share = metrics.result(), 2 * sigmoid(-1.0)
    assert result["violation_rate"] == pytest.approx(0.6)
    assert result["pcoc/cvr"] == pytest.approx((share + 2 + 4) / 2)
    losses = [-np.log(1 - share), 0.0, -np.log(1e-7)]
    assert result["log_loss/cvr"] == pytest.approx(np.average(losses, weights=[1, 2, 4]))


def test_extreme_logits_stay_finite_and_ranked() -> None:
    metrics = FunnelMetrics(("ctr", "ctcvr"), ("cvr",))
    metrics.update(
        np.array([[3e38, -3e38], [-3e38, 3e38], [90, 80], [89, -200]]),
        np.array([[1, 1], [0, 0], [1, 0], [0, 0]]),
    )
    result = metrics.result()
    assert all(np.isfinite(value) for value in result.values() if value is not None)
    assert (
        result["auc/ctr"] == 1.0
    )  # sigmoid(89) and sigmoid(90) are both 1 in float64, their logs differ


def test_groups_have_the_same_hash_in_every_process() -> None:
    code = "import numpy as np; from tafe_tf.metrics import hashes; print(hashes(np.array(['u', 'é']), (2,)).tolist())"
    seeds = [{"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)} for seed in "12"]
    one, two = (
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | seed)
        for seed in seeds
    )
    assert one == two


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"labels": np.array([[0, 1], [0, 0]])},
            r"labels must not rise along the funnel. Received: \[0 1\] in 1 rows",
        ),
        ({"labels": np.array([[0.5, 0], [0, 0]])}, r"labels must be 0 or 1. Received: \[0.5\]"),
        ({"labels": np.array([[2, 1], [0, 0]])}, r"labels must be in \[0, 1\]. Received: 1 of 4"),
        (
            {"sample_weight": np.ones(3)},
            r"sample_weight must have shape \[2\]. Received: shape \[3\]",
        ),
        (
            {"sample_weight": np.array([1.0, -1.0])},
            r"sample_weight must be in \[0, .*Received: 1 of 2",
        ),
        ({"group": np.array(["a"])}, r"group must have shape \[2\]. Received: shape \[1\]"),
        ({"truth": np.full((2, 2), 1.5)}, r"truth must be in \[0, 1\]. Received: 4 of 4"),
        ({"truth": np.array([[0.1, 0.2], [0.1, 0.1]])}, "truth must not rise along the funnel"),
    ],
)
def test_bad_values_are_named(change: dict[str, np.ndarray], text: str) -> None:
    good = {"logits": np.zeros((2, 2)), "labels": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=text):
        FunnelMetrics(("ctr", "ctcvr"), ("cvr",)).update(**(good | change))


def test_batches_and_workers_must_agree() -> None:
    logits, labels, weight, group = funnel(10)
    metrics, other = collect((logits, labels, weight, group)), FunnelMetrics(*NAMES)
    other.update(logits, labels)
    with pytest.raises(
        ValueError, match=r"every batch must give .*'group'.*Received: \['depth', 'logits'\]"
    ):
        metrics.merge(other)
    with pytest.raises(ValueError, match=r"names must be .*Received: .*'ctr'"):
        metrics.merge(FunnelMetrics(("ctr", "ctcvr"), ("cvr",)))
