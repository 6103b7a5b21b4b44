"""Metrics against scikit-learn, brute force and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from twins.numbers import sigmoid

from tafe_tf.metrics import FunnelMetrics, auc

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


def test_everything_against_scikit_learn() -> None:
    logits, labels, weight, group = data = funnel(3000)
    result = collect(data).result()
    p = sigmoid(logits.astype(np.float64))
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


@pytest.mark.parametrize("kind", ["text", "bytes", "integer", "float", "python"])
def test_rows_without_a_group_are_left_out_of_grouped_auc(kind: str) -> None:
    logits, labels, weight, group = funnel(900)
    is_missing = np.random.default_rng(3).random(900) < 0.4
    texts = [f"user {g}" for g in group]
    absent: dict[str, list[Any]] = {
        "text": ["", *texts],
        "bytes": [b"", *[text.encode() for text in texts]],
        "integer": [-1, *group.tolist()],
        "float": [float("nan"), *group.tolist()],
        "python": [None, *texts],
    }
    missing, *values = absent[kind]
    given = [missing if gone else value for gone, value in zip(is_missing, values, strict=True)]
    array = np.array(given, None if kind in ("integer", "float") else object)
    result = collect((logits, labels, weight, array)).result()
    assert result["rows"] == 900
    assert result["rows_without_group"] == is_missing.sum()
    for name, of_rows, y in (("p_a", ~is_missing, 0), (NAMES[1][0], labels[:, 0] == 1, 1)):
        areas, masses = [], []
        for g in range(9):
            rows = (group == g) & ~is_missing & of_rows
            if len(np.unique(labels[rows, y])) < 2:
                continue
            p = sigmoid(logits[rows].astype(np.float64))
            score = p[:, 0] if y == 0 else np.minimum(p[:, 1] / p[:, 0], 1)
            areas.append(sk.roc_auc_score(labels[rows, y], score, sample_weight=weight[rows]))
            masses.append(weight[rows].sum())
        expected = np.average(areas, weights=masses)
        assert result[f"gauc/{name}"] == pytest.approx(expected, abs=1e-4)
    everyone = collect((logits, labels, weight, group)).result()
    assert everyone["rows_without_group"] == 0
    assert everyone["auc/p_a"] == result["auc/p_a"]  # on all rows, with a group or without
    assert everyone["gauc/p_a"] != result["gauc/p_a"]
    nobody = collect((logits, labels, weight, np.full(900, -1))).result()
    assert nobody["gauc/p_a"] is None


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


def unknown_funnel(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of `funnel`, of which a third does not know what came after the steps it reached."""
    logits, labels, weight, group = funnel(rows)
    depth = labels.sum(axis=1)
    is_lost = np.random.default_rng(9).random(rows) < 1 / 3
    is_unknown = (
        is_lost[:, None] & (np.arange(3) >= np.maximum(depth, 1)[:, None]) & (depth[:, None] > 0)
    )
    return logits, np.where(is_unknown, -1.0, labels), weight, group


def test_a_step_is_measured_on_the_rows_that_know_it() -> None:
    logits, labels, weight, group = data = unknown_funnel(2000)
    metrics = FunnelMetrics(*NAMES, may_be_unknown=True)
    metrics.update(logits, labels, weight, group)
    result = metrics.result()
    halves = FunnelMetrics(*NAMES, may_be_unknown=True)
    for half in (slice(700, None), slice(700)):
        halves.update(*(values[half] for values in data))
    assert halves.result() == result
    assert result["rows"] == 2000 and result["rows/p_a"] == 2000
    p = sigmoid(logits.astype(np.float64))
    for i, name in enumerate(NAMES[1], start=1):
        known = (labels[:, i] >= 0) & (labels[:, i - 1] == 1)
        ratio = np.minimum(p[known, i] / p[known, i - 1], 1)
        y = labels[known, i]
        expected = sk.roc_auc_score(y, ratio, sample_weight=weight[known])
        assert result[f"auc/{name}"] == pytest.approx(expected, abs=1e-4)
        assert result[f"rows/{name}"] == known.sum()


def test_rows_that_know_a_step_stand_for_those_that_do_not() -> None:
    """Of the rows that reached a step, each has its weight over the share that knows the next."""
    logits, labels, weight, group = unknown_funnel(2000)
    metrics = FunnelMetrics(*NAMES, may_be_unknown=True)
    metrics.update(logits, labels, weight, group)
    result = metrics.result()
    p = sigmoid(logits.astype(np.float64))
    stands_for = weight.astype(np.float64)
    for i, name in enumerate(NAMES[0]):
        known = labels[:, i] >= 0
        if i > 0:
            reached = labels[:, i - 1] == 1
            told = reached & known
            stands_for[told] *= stands_for[reached].sum() / stands_for[told].sum()
        y, w = labels[known, i], stands_for[known]
        expected = sk.roc_auc_score(y, p[known, i], sample_weight=w)
        assert result[f"auc/{name}"] == pytest.approx(expected, abs=1e-9)
        expected = sk.log_loss(y, p[known, i], sample_weight=w)
        assert result[f"log_loss/{name}"] == pytest.approx(expected, rel=1e-6)
        assert result[f"pcoc/{name}"] == pytest.approx(w @ p[known, i] / (w @ y), rel=1e-6)
        assert result[f"rows/{name}"] == known.sum()


def test_a_step_that_no_row_knows_has_no_metric() -> None:
    logits, labels, weight, group = funnel(50)
    labels[:, 2] = np.where(labels[:, 1] == 1, -1, 0)
    metrics = FunnelMetrics(*NAMES, may_be_unknown=True)
    metrics.update(logits, labels, weight, group)
    result = metrics.result()
    assert result["auc/p_c"] is None and result["log_loss/p_c"] is None
    assert result["rows/p_c_given_b"] == 0 and result["auc/p_c_given_b"] is None


def test_unknown_labels_stand_between_ones_and_zeros() -> None:
    logits = np.zeros((1, 3))
    metrics = FunnelMetrics(*NAMES, may_be_unknown=True)
    metrics.update(logits, np.array([[1, -1, 0]]))
    for wrong in ([[0, -1, 0]], [[1, -1, 1]], [[-1, 1, 0]]):
        with pytest.raises(ValueError, match="labels must not rise"):
            metrics.update(logits, np.array(wrong))
    with pytest.raises(ValueError, match="labels must be in"):
        collect((logits, np.array([[1, -1, 0]]), None, None))  # type: ignore[arg-type]
