"""Learned weights of the tasks: the loss and what is descended, in NumPy and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from twins.losses import cross_entropy, dependence
from twins.numbers import sigmoid

from tafe_tf.losses import ActionLoss, CounterfactualLoss, FunnelLoss, GradNorm, Uncertainty
from tafe_tf.losses.balancing import Balance, rate_entropy

TASK_WEIGHTS = np.array([1.0, 2.0, 0.5])
LOG_VARIANCES = np.array([0.5, -1.0, 2.0])


def batch(columns: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and the rows' weights."""
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 4, size=(7, 1))
    labels = (np.arange(3) < depth).astype(float)
    return labels, rng.normal(scale=2.0, size=(7, columns)), np.linspace(0.0, 2.0, 7)


def balanced_by(balance: Balance, loss: FunnelLoss) -> FunnelLoss:
    loss.balance = balance
    return loss


def test_the_uncertainty_loss_and_its_gradient() -> None:
    labels, logits, rows = batch()
    balance = Uncertainty(3)
    balance.numbers.assign(LOG_VARIANCES)
    loss = balanced_by(balance, FunnelLoss(TASK_WEIGHTS.tolist(), 0.3, dtype="float64"))
    with tf.GradientTape() as tape:
        value = loss(labels, logits, rows)
    gradient = tape.gradient(value, balance.numbers.value)

    bce = cross_entropy(labels, sigmoid(logits))
    of_tasks = np.exp(-LOG_VARIANCES) * bce + LOG_VARIANCES / 2
    of_rows = of_tasks @ TASK_WEIGHTS + 0.3 * dependence(labels, logits).sum(axis=1)
    np.testing.assert_allclose(value, (rows * of_rows).mean(), rtol=1e-6)  # weights are float32
    of_variances = 0.5 - np.exp(-LOG_VARIANCES) * bce  # d loss_i / d s_i
    expected = TASK_WEIGHTS * (rows[:, None] * of_variances).mean(axis=0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_the_loss_is_smallest_at_twice_the_cross_entropy() -> None:
    labels, logits, _ = batch()
    bce = cross_entropy(labels, sigmoid(logits)).mean(axis=0)
    balance = Uncertainty(3)
    loss = balanced_by(balance, FunnelLoss(TASK_WEIGHTS.tolist(), dtype="float64"))
    values = []
    for moved in (0.0, -0.1, 0.1):
        balance.numbers.assign(np.log(2.0 * bce) + moved)
        values.append(float(loss(labels, logits)))
    assert values[0] < min(values[1:])


@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        (FunnelLoss(dependence_weight=0.3, order_weight=0.6, dtype="float64"), 3),
        (ActionLoss(3, dependence_weight=0.3, dtype="float64"), 3),
        (CounterfactualLoss(3, "ips", dependence_weight=0.3, dtype="float64"), 5),
    ],
)
def test_other_terms_keep_their_weights(loss: FunnelLoss, columns: int) -> None:
    labels, logits, _ = batch(columns)
    before = float(loss(labels, logits))
    balance = Uncertainty(3)
    balance.numbers.assign(LOG_VARIANCES)
    after = float(balanced_by(balance, loss)(labels, logits))
    bce = cross_entropy(labels, sigmoid(logits[:, :3])).mean(axis=0)
    added = (np.exp(-LOG_VARIANCES) - 1.0) * bce + LOG_VARIANCES / 2
    assert after - before == pytest.approx(added.sum(), rel=1e-6)


def test_every_balance_begins_with_the_loss_itself() -> None:
    labels, logits, rows = batch()
    plain = FunnelLoss(TASK_WEIGHTS.tolist(), dtype="float64")(labels, logits, rows)
    for balance in (Uncertainty(3), GradNorm([0.5, 0.4, 0.3])):
        loss = balanced_by(balance, FunnelLoss(TASK_WEIGHTS.tolist(), dtype="float64"))
        np.testing.assert_allclose(loss(labels, logits, rows), plain, rtol=1e-12)
        assert "balance" not in loss.get_config()


INITIAL = np.array([0.5, 0.2, 0.1])
LOSSES = np.array([0.4, 0.19, 0.06])
NORMS = np.array([3.0, 0.5, 1.2])


def gradnorm_loss(log_weights: np.ndarray, targets: np.ndarray) -> float:
    """Eq. 2 of GradNorm with the targets held constant."""
    return float(np.abs(np.exp(log_weights) * NORMS - targets).sum())


def targets_of(weights: np.ndarray, alpha: float) -> np.ndarray:
    ratios = LOSSES / INITIAL
    relative = ratios / ratios.mean()
    return np.asarray((weights * NORMS).mean() * relative**alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_gradnorm_descends_its_loss(alpha: float) -> None:
    """By differences of the loss in log w, over the mean of G."""
    balance = GradNorm(INITIAL.tolist(), alpha)
    balance.numbers.assign([0.3, -0.2, 0.1])
    weights = np.exp([0.3, -0.2, 0.1])
    weights *= 3 / weights.sum()
    np.testing.assert_allclose(balance.task_weights(), weights, rtol=1e-6)
    expected = []
    for task, sign in itertools.product(range(3), (1.0, -1.0)):
        moved = np.log(weights)
        moved[task] += sign * 1e-6
        expected.append(sign * gradnorm_loss(moved, targets_of(weights, alpha)))
    differences = np.array(expected).reshape(3, 2).sum(axis=1) / 2e-6
    scale = (weights * NORMS).mean()
    for size in (1.0, 1e-4):  # of a batch, say
        gradient = balance.gradient(LOSSES, size * NORMS)
        np.testing.assert_allclose(gradient, differences / scale, rtol=1e-5)


def test_gradnorm_reaches_its_targets() -> None:
    balance = GradNorm(INITIAL.tolist(), alpha=1.5)
    for _ in range(150):
        descent = np.asarray(balance.gradient(LOSSES, NORMS))
        balance.numbers.assign_sub(0.01 * descent)
    weights = np.asarray(balance.task_weights())
    targets = targets_of(weights, 1.5)
    shares = weights * NORMS / (weights * NORMS).sum()
    np.testing.assert_allclose(shares, targets / targets.sum(), atol=0.02)
    assert weights.sum() == pytest.approx(3.0, rel=1e-6)


def test_no_gradient_leads_to_the_weights_of_gradnorm() -> None:
    labels, logits, _ = batch()
    balance = GradNorm(INITIAL.tolist())
    loss = balanced_by(balance, FunnelLoss())
    with tf.GradientTape() as tape:
        value = loss(labels, logits)
    assert tape.gradient(value, balance.numbers.value) is None


def test_norms_of_zero_move_nothing() -> None:
    gradient = GradNorm(INITIAL.tolist()).gradient(np.zeros(3), np.zeros(3))
    assert np.asarray(gradient).tolist() == [0.0, 0.0, 0.0]


def test_the_entropy_of_a_rate() -> None:
    p = 0.037
    expected = cross_entropy(np.array(1.0), np.array(p)) * p
    expected += cross_entropy(np.array(0.0), np.array(p)) * (1 - p)
    assert rate_entropy(p) == pytest.approx(float(expected), rel=1e-12)
    assert rate_entropy(0.0) > 0.0 and rate_entropy(1.0) > 0.0
    with pytest.raises(ValueError, match=r"`initial_losses` must be positive. Received: .*\[1.0, "):
        GradNorm([1.0, 0.0])
