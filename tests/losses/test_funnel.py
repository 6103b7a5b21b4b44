"""Eq. 24-29 against NumPy, closed forms and a population small enough to enumerate."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins.losses import cross_entropy, dependence
from twins.numbers import sigmoid

from tafe_tf.losses import (
    FunnelLoss,
    conditional_losses,
    dependence_losses,
    order_losses,
    task_losses,
)

LOG_2 = float(np.log(2))


def batch(num_tasks: int, rows: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Nested labels and logits, float64."""
    rng = np.random.default_rng(num_tasks)
    depth = rng.integers(0, num_tasks + 1, size=(rows, 1))
    labels = (np.arange(num_tasks) < depth).astype(float)
    return labels, rng.normal(scale=2.0, size=(rows, num_tasks))


def bce_twin(labels: np.ndarray, logits: np.ndarray) -> Any:
    return cross_entropy(labels, sigmoid(logits))


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
def test_both_terms_are_equation_25(num_tasks: int) -> None:
    labels, logits = batch(num_tasks)
    np.testing.assert_allclose(task_losses(labels, logits), bce_twin(labels, logits), rtol=1e-12)
    np.testing.assert_allclose(
        dependence_losses(labels, logits), dependence(labels, logits), rtol=1e-12
    )
    assert dependence_losses(labels, logits).shape == (7, num_tasks - 1)


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
def test_the_loss_with_all_weights(num_tasks: int) -> None:
    labels, logits = batch(num_tasks)
    w, rows = np.arange(1.0, num_tasks + 1), np.linspace(0, 2, 7)
    loss = FunnelLoss(w.tolist(), dependence_weight=0.3, dtype="float64")
    want = (bce_twin(labels, logits) * w).sum(axis=1) + 0.3 * dependence(labels, logits).sum(axis=1)
    np.testing.assert_allclose(loss(labels, logits), want.mean(), rtol=1e-12)
    np.testing.assert_allclose(
        loss(labels, logits, rows), (want * rows).sum() / 7, rtol=1e-7
    )  # weights are float32
    again = FunnelLoss.from_config(loss.get_config())
    np.testing.assert_allclose(again(labels, logits), want.mean(), rtol=1e-6)


def test_the_order_constraint() -> None:
    labels, logits = batch(3)
    f = 1 / (1 + np.exp(-logits))
    expected = np.maximum(f[:, 1:] - f[:, :-1], 0)
    np.testing.assert_allclose(order_losses(logits), expected, rtol=1e-12)
    assert (expected > 0).any() and (expected == 0).any()
    without, with_it = (
        FunnelLoss(order_weight=w, dtype="float64")(labels, logits) for w in (0.0, 0.6)
    )
    assert float(with_it - without) == pytest.approx(0.6 * expected.sum() / len(labels), rel=1e-9)
    assert FunnelLoss.from_config(FunnelLoss(order_weight=0.6).get_config()).order_weight == 0.6


def test_the_conditionals_of_the_rows_that_reached_a_step() -> None:
    labels, drawn = batch(3, rows=200)
    f = np.cumprod(sigmoid(drawn), axis=1)  # never rises, so each conditional is a plain quotient
    logits = np.log(f / (1 - f))
    conditionals = f[:, 1:] / f[:, :-1]
    want = np.zeros((200, 2))
    for step in range(2):
        reached = labels[:, step] == 1
        want[reached, step] = cross_entropy(labels[reached, step + 1], conditionals[reached, step])
    np.testing.assert_allclose(conditional_losses(labels, logits), want, rtol=1e-9)
    without, with_it = (
        FunnelLoss(conditional_weight=w, dtype="float64")(labels, logits) for w in (0.0, 0.7)
    )
    assert float(with_it - without) == pytest.approx(0.7 * want.sum() / 200, rel=1e-9)
    again = FunnelLoss.from_config(FunnelLoss(conditional_weight=0.7).get_config())
    assert again.conditional_weight == 0.7


def test_a_conditional_is_learned_as_in_the_rows_that_reached_it() -> None:
    """With the first step fixed, the loss of the conditionals alone has its least at their rate."""
    labels = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    rates = np.linspace(0.05, 0.95, 19)
    losses = []
    for rate in rates:
        f = np.full((5, 2), [0.3, 0.3 * rate])
        losses.append(conditional_losses(labels, np.log(f / (1 - f))).numpy().sum())
    assert rates[np.argmin(losses)] == pytest.approx(0.35)  # 1/3, on a grid of twentieths


def test_defaults_are_the_papers() -> None:
    labels, logits = batch(2)
    want = bce_twin(labels, logits).sum(axis=1) + dependence(labels, logits).sum(axis=1)
    np.testing.assert_allclose(FunnelLoss()(labels, logits), want.mean(), rtol=1e-6)
    without = FunnelLoss(dependence_weight=0.0)
    np.testing.assert_allclose(
        without(labels, logits), bce_twin(labels, logits).sum(axis=1).mean(), rtol=1e-6
    )


def test_a_batch_without_a_positive() -> None:
    _, logits = batch(3)
    nothing = np.zeros((7, 3))
    want = np.log1p(np.exp(logits)).sum(axis=1) + dependence(nothing, logits).sum(axis=1)
    np.testing.assert_allclose(FunnelLoss()(nothing, logits), want.mean(), rtol=1e-6)


def test_labels_may_be_bytes() -> None:
    labels, logits = batch(3)
    np.testing.assert_array_equal(
        FunnelLoss()(labels.astype(np.uint8), logits), FunnelLoss()(labels, logits)
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_extreme_logits(dtype: str) -> None:
    logits = tf.constant([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]], dtype)
    labels = tf.constant([[0, 1], [0, 0], [1, 0]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = task_losses(labels, logits)
        total = tf.reduce_sum(losses) + tf.reduce_sum(dependence_losses(labels, logits))
    size = float(logits[0, 0])  # 1e4, as the dtype rounds it
    losses_want = np.array([[size, size], [0, size], [LOG_2, LOG_2]])
    np.testing.assert_allclose(
        losses.numpy().astype(float), losses_want, rtol=5e-3
    )  # bfloat16 carries 8 bits
    # Saturated, the slope of the cross entropy is 1 or 0 and that of the sigmoid 0; at 0 the sum
    # is -1/2 + 2 (-1/2 - 1/2) / 4.
    want = np.array([[1, -1], [0, 1], [-0.5 - 0.5, 0.5 + 0.5]])
    np.testing.assert_allclose(tape.gradient(total, logits).numpy().astype(float), want, atol=1e-6)


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
def test_the_gradient_is_its_closed_form(num_tasks: int) -> None:
    labels, values = batch(num_tasks)
    w, logits = np.arange(1.0, num_tasks + 1), tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = FunnelLoss(w.tolist(), dependence_weight=0.3, dtype="float64")(labels, logits)
    f = sigmoid(values)
    error = f - labels
    gap = np.diff(error, axis=1)  # of e_i - e_{i-1}, whose square is L_D
    pull = np.pad(gap, ((0, 0), (1, 0))) - np.pad(gap, ((0, 0), (0, 1)))
    want = (w * error + 0.3 * 2 * pull * f * (1 - f)) / len(labels)
    np.testing.assert_allclose(tape.gradient(loss, logits), want, rtol=1e-11, atol=1e-14)


def test_keras_compiles_fits_and_evaluates_with_it() -> None:
    keras.utils.set_random_seed(0)
    labels, x = batch(3, rows=32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile(optimizer="sgd", loss=FunnelLoss([1.0, 2.0, 0.5]))
    logits = model.predict(x, verbose=0).astype(float)
    want = (bce_twin(labels, logits) * [1, 2, 0.5]).sum(axis=1) + dependence(labels, logits).sum(
        axis=1
    )
    np.testing.assert_allclose(model.evaluate(x, labels, verbose=0), want.mean(), rtol=1e-5)
    history = model.fit(x, labels, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


# A population: x in five values, P(x), P(Y = 1 | x) and P(Z = 1 | x), with Z = 1 only where Y = 1.
P_X = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
F_Y = np.array([0.9, 0.5, 0.2, 0.05, 0.7])
F_Z = np.array([0.3, 0.45, 0.01, 0.02, 0.1])
CELLS = [(0, 0, P_X * (1 - F_Y)), (1, 0, P_X * (F_Y - F_Z)), (1, 1, P_X * F_Z)]  # y, z, P(x, y, z)
PRIOR = float(np.sum(P_X * F_Y))  # P(Y = 1)


def test_the_true_probabilities_have_no_gradient_on_average() -> None:
    """At f = P(T_i = 1 | X) the expected gradient of L is 0, L_D included: it biases nothing."""
    logits = tf.constant(np.log(np.stack([F_Y, F_Z], axis=1) / (1 - np.stack([F_Y, F_Z], axis=1))))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.constant(0.0, "float64")
        for y, z, p in CELLS:
            labels = np.tile([float(y), float(z)], (5, 1))
            rows = (
                tf.reduce_sum(task_losses(labels, logits), axis=1)
                + dependence_losses(labels, logits)[:, 0]
            )
            loss += tf.reduce_sum(p * rows)
    np.testing.assert_allclose(tape.gradient(loss, logits), np.zeros((5, 2)), atol=1e-15)
