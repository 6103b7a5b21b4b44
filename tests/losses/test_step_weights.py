"""Weights of each row's steps: what is unknown changes nothing, in any loss of any model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from registry import MODELS, make, randomize
from twins.losses import cross_entropy, dependence
from twins.numbers import sigmoid

from tafe_tf.losses import ActionLoss, FunnelLoss

ROWS, N, B = [4, 3, 5], 3, 6
LABELS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]],
    dtype=float,
)


def ids(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, n, B) for n in ROWS], axis=1)


def with_actions(name: str, steps: np.ndarray, rest: float) -> np.ndarray:
    """Columns of the steps, and as many more as the model has actions."""
    actions = MODELS[name][1].get("via", [])
    return np.concatenate([steps, np.full((B, len(actions)), rest)], axis=1)


def gradients(name: str, inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> list[Any]:
    model = randomize(make(name, ROWS, N, dtype="float64"), scale=0.3)
    loss = model.paper_loss(order_weight=0.3, conditional_weight=0.5, dtype="float64")
    with tf.GradientTape() as tape:
        value = loss(labels, model(inputs, training=True), sample_weight=weights)
    found = tape.gradient(value, [weight.value for weight in model.trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found if gradient is not None]


@pytest.mark.parametrize("name", MODELS)
def test_a_row_of_which_nothing_is_known_changes_no_gradient(name: str) -> None:
    known = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    weights = np.repeat(known[:, None], N, axis=1)
    weights = with_actions(name, weights, 1.0) * known[:, None]
    one, other = ids(0), ids(1)
    other[known > 0] = one[known > 0]
    labels = with_actions(name, LABELS, 0.0)
    flipped = labels.copy()
    flipped[known == 0] = 1.0
    assert not np.array_equal(one, other)
    before = gradients(name, one, labels, weights)
    after = gradients(name, other, flipped, weights)
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(np.abs(gradient).max() > 0 for gradient in before)


def test_every_term_by_numpy() -> None:
    rng = np.random.default_rng(0)
    logits = np.sort(rng.normal(scale=2.0, size=(B, N)))[:, ::-1].copy()  # f never rises
    weights = rng.uniform(0.1, 2.0, (B, N)) * rng.integers(0, 2, (B, N))
    loss = FunnelLoss(
        [1.0, 2.0, 0.5],
        dependence_weight=0.3,
        conditional_weight=0.7,
        dtype="float64",
    )
    f = sigmoid(logits)
    of_pairs = np.minimum(weights[:, 1:], weights[:, :-1])
    conditionals = LABELS[:, :-1] * cross_entropy(LABELS[:, 1:], f[:, 1:] / f[:, :-1])
    want = (
        (weights * [1.0, 2.0, 0.5] * cross_entropy(LABELS, f)).sum()
        + 0.3 * (of_pairs * dependence(LABELS, logits)).sum()
        + 0.7 * (weights[:, 1:] * conditionals).sum()
    ) / B
    np.testing.assert_allclose(loss(LABELS, logits, sample_weight=weights), want, rtol=1e-9)


def test_a_step_that_no_row_knows_is_a_step_of_weight_0() -> None:
    logits = np.random.default_rng(1).normal(size=(B, 2))
    labels = LABELS[:, :2]
    of_first = np.repeat([[1.0, 0.0]], B, axis=0)
    masked = FunnelLoss(dtype="float64")(labels, logits, sample_weight=of_first)
    without = FunnelLoss([1.0, 0.0], dependence_weight=0.0, dtype="float64")(labels, logits)
    np.testing.assert_allclose(masked, without, rtol=1e-12)


def test_equal_weights_of_all_steps_are_weights_of_the_rows() -> None:
    logits = np.random.default_rng(2).normal(size=(B, N))
    of_rows = np.linspace(0.5, 2.0, B).astype(np.float32)
    of_steps = np.repeat(of_rows[:, None], N, axis=1)
    loss = FunnelLoss(order_weight=0.6, conditional_weight=1.0, dtype="float64")
    by_rows = loss(LABELS, logits, sample_weight=of_rows)
    np.testing.assert_allclose(loss(LABELS, logits, sample_weight=of_steps), by_rows, rtol=1e-12)


def test_a_row_without_any_known_label_changes_no_gradient() -> None:
    """As one of which all weights are 0, in the loss of every model."""
    labels = LABELS.copy()
    labels[[1, 4]] = -1.0
    known = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    logits = np.sort(np.random.default_rng(3).normal(size=(B, N)))[:, ::-1].copy()
    settings: dict[str, Any] = {
        "order_weight": 0.3,
        "conditional_weight": 0.5,
        "dtype": "float64",
    }
    variable = tf.Variable(logits)
    with tf.GradientTape(persistent=True) as tape:
        unknown = FunnelLoss(may_be_unknown=True, **settings)(labels, variable)
        weights = np.repeat(known[:, None], N, axis=1)
        masked = FunnelLoss(**settings)(LABELS, variable, sample_weight=weights)
    np.testing.assert_allclose(unknown, masked, rtol=1e-12)
    gradient = tape.gradient(unknown, variable).numpy()
    np.testing.assert_array_equal(gradient[[1, 4]], 0.0)
    np.testing.assert_allclose(gradient, tape.gradient(masked, variable), rtol=1e-9, atol=1e-15)


def test_known_labels_are_what_they_were() -> None:
    logits = np.random.default_rng(4).normal(size=(B, N))
    settings: dict[str, Any] = {
        "order_weight": 0.3,
        "conditional_weight": 0.5,
        "dtype": "float64",
    }
    before = FunnelLoss(**settings)(LABELS, logits)
    np.testing.assert_allclose(
        FunnelLoss(may_be_unknown=True, **settings)(LABELS, logits), before, rtol=1e-12
    )


# A population: P(x), P(o_1 = 1 | x), P(o_2 = 1 | o_1 = 1, x), and how often each pattern of what is
# known comes with each x, whatever the labels are.
P_X = np.array([0.4, 0.6])
F_1, R_2 = np.array([0.5, 0.2]), np.array([0.3, 0.7])
PATTERNS = {(True, True): (0.5, 0.1), (True, False): (0.3, 0.8), (False, True): (0.2, 0.1)}


def test_the_losses_are_least_at_the_truth_whichever_rows_know_a_label() -> None:
    """A finite population in which what is known depends on x, as in placements without a pixel."""
    labels, place, mass = [], [], []
    for x in range(2):
        for o_1, o_2, p in (
            (0, 0, 1 - F_1[x]),
            (1, 0, F_1[x] * (1 - R_2[x])),
            (1, 1, F_1[x] * R_2[x]),
        ):
            for (knows_1, knows_2), shares in PATTERNS.items():
                row = [o_1 if knows_1 else -1, o_2 if knows_2 else -1]
                if row == [0, -1]:
                    row = [0, 0]  # as the reader closes it
                if row == [-1, 1]:
                    row = [1, 1]
                labels.append(row)
                place.append(x)
                mass.append(P_X[x] * p * shares[x])
    assert sum(mass) == pytest.approx(1.0)
    f = np.stack([F_1, F_1 * R_2], axis=1)
    truth = np.log(f) - np.log1p(-f)
    variable = tf.Variable(truth)
    loss = FunnelLoss(
        dependence_weight=0.5,
        conditional_weight=0.7,
        may_be_unknown=True,
        reduction="none",
        dtype="float64",
    )

    def gradient(loss: FunnelLoss, labels: np.ndarray) -> np.ndarray:
        with tf.GradientTape() as tape:
            logits = tf.gather(variable, place)
            total = tf.reduce_sum(loss(labels, logits) * np.array(mass))
        return np.array(tf.convert_to_tensor(tape.gradient(total, variable)))

    labels_of_rows = np.array(labels, float)
    np.testing.assert_allclose(gradient(loss, labels_of_rows), 0.0, atol=1e-9)
    as_zeros = gradient(loss, np.maximum(labels_of_rows, 0.0))
    assert np.abs(as_zeros).max() > 0.01


def test_an_action_that_is_unknown_has_its_expectation() -> None:
    """The click happened; whether a purchase and the way to it did is unknown."""
    loss = ActionLoss(2, dependence_weight=0.0, may_be_unknown=True)
    labels = np.array([[1.0, -1.0, -1.0]])
    logits = np.array([[0.3, -1.2, -0.4]])
    f_click, f_buy, g = 1 / (1 + np.exp(-logits[0]))

    def entropy(expected: float, f: float) -> float:
        return float(-expected * np.log(f) - (1 - expected) * np.log(1 - f))

    wanted = entropy(1.0, f_click) + entropy(f_buy / f_click, f_buy) + entropy(g / f_click, g)
    assert float(loss(labels, logits)) == pytest.approx(wanted, rel=1e-6)
    known = np.array([[1.0, -1.0, 1.0]])
    wanted = entropy(1.0, f_click) + entropy(f_buy / f_click, f_buy) + entropy(1.0, g)
    assert float(loss(known, logits)) == pytest.approx(wanted, rel=1e-6)
