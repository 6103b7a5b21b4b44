"""ESCM2's loss: closed forms, where gradients stop, and a population that can be enumerated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from twins.losses import cross_entropy
from twins.numbers import sigmoid

from tafe_tf.losses import ActionLoss, CounterfactualLoss, FunnelLoss
from tafe_tf.models.products import product_logits

LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], float)
RNG = np.random.default_rng(5)
CONDITIONALS, IMPUTED = RNG.normal(size=(5, 3)), RNG.uniform(0.1, 2.0, size=(5, 2))


def prediction(kind: str, conditionals: np.ndarray = CONDITIONALS) -> np.ndarray:
    parts = [np.array(product_logits(conditionals)), conditionals[:, 1:]]
    return np.concatenate([*parts, IMPUTED] if kind == "dr" else parts, axis=1)


def loss_of(kind: Any, n: int = 3, **settings: Any) -> CounterfactualLoss:
    return CounterfactualLoss(
        n, kind, reduction="none", dtype="float64", dependence_weight=0.0, **settings
    )


@pytest.mark.parametrize("kind", ["ips", "dr", "naive"])
def test_counterfactual_loss(kind: str) -> None:
    settings: dict[str, Any] = {
        "counterfactual_weight": 0.3,
        "global_weight": 0.7,
        "min_propensity": 0.4,
        "task_weights": [1, 2, 3],
    }
    got = loss_of(kind, **settings)(LABELS, prediction(kind))
    r = sigmoid(CONDITIONALS)
    f = np.cumprod(r, axis=1)
    delta, seen = cross_entropy(LABELS, r)[:, 1:], LABELS[:, :-1]
    weight = seen / np.maximum(f[:, :-1], 0.4)
    risks = {
        "naive": seen * delta,
        "ips": weight * delta,
        "dr": IMPUTED + weight * (delta - IMPUTED) + weight * (delta - IMPUTED) ** 2,
    }
    expected = cross_entropy(LABELS, f) @ [1.0, 1.4, 2.1] + 0.3 * risks[kind].sum(axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["ips", "dr"])
def test_propensity_and_target_of_the_imputation_are_constants(kind: str) -> None:
    """By central differences, with both held at their value."""
    x = tf.constant(prediction(kind))
    loss = loss_of(kind, global_weight=0.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss(LABELS, x))
    gradient = tape.gradient(total, x).numpy()
    np.testing.assert_allclose(
        gradient[:, 0], sigmoid(CONDITIONALS[:, 0]) - LABELS[:, 0], rtol=1e-12
    )
    np.testing.assert_array_equal(gradient[:, 1:3], 0)  # f_2 is a propensity here, f_3 nothing
    weight = LABELS[:, :-1] / np.maximum(np.cumprod(sigmoid(CONDITIONALS), axis=1)[:, :-1], 0.01)
    towards = weight * (sigmoid(CONDITIONALS[:, 1:]) - LABELS[:, 1:])
    np.testing.assert_allclose(gradient[:, 3:5], towards, rtol=1e-12, atol=1e-15)
    if kind == "dr":
        delta = cross_entropy(LABELS, sigmoid(CONDITIONALS))[:, 1:]
        np.testing.assert_allclose(
            gradient[:, 5:], 1 - weight - 2 * weight * (delta - IMPUTED), rtol=1e-12
        )


@pytest.mark.parametrize("kind", ["ips", "dr", "naive"])
def test_with_true_propensities_the_risk_is_that_of_the_entire_space(kind: str) -> None:
    """Five kinds of rows, each with P(click), P(buy | click) and a wrong prediction of it."""
    click, buy = np.array([0.9, 0.5, 0.2, 0.05, 0.03]), np.array([0.1, 0.7, 0.3, 0.9, 0.5])
    predicted = np.stack([np.log(click / (1 - click)), RNG.normal(size=5)], axis=1)
    y = np.concatenate(
        [predicted, predicted[:, 1:], IMPUTED[:, :1] if kind == "dr" else IMPUTED[:, :0]], axis=1
    )
    share = {(0, 0): 1 - click, (1, 0): click * (1 - buy), (1, 1): click * buy}
    loss = loss_of(kind, n=2, global_weight=0.0, task_weights=[0, 0])
    risk = sum(p * np.array(loss(np.tile(labels, (5, 1)), y)) for labels, p in share.items()).mean()
    p = sigmoid(predicted[:, 1])
    entire = np.mean(buy * cross_entropy(np.ones(5), p) + (1 - buy) * cross_entropy(np.zeros(5), p))
    if kind == "dr":
        e = IMPUTED[:, 0]
        risk -= np.mean(
            buy * (cross_entropy(np.ones(5), p) - e) ** 2
            + (1 - buy) * (cross_entropy(np.zeros(5), p) - e) ** 2
        )
    assert (risk == pytest.approx(entire, rel=1e-12)) == (kind != "naive")


@pytest.mark.parametrize("kind", ["ips", "dr", "naive"])
def test_of_the_logits_of_inference_the_conditionals_are_their_quotients(kind: str) -> None:
    full = prediction("ips" if kind == "dr" else kind)
    expected = loss_of("ips" if kind == "dr" else kind)(LABELS, full)
    np.testing.assert_allclose(loss_of(kind)(LABELS, full[:, :3]), expected, rtol=1e-9)
    f = sigmoid(full[:, :3])
    assert np.abs(expected - cross_entropy(LABELS, f).sum(axis=1)).max() > 0.1  # the risks count


@pytest.mark.parametrize(
    "loss", [loss_of("dr", min_propensity=0.2), ActionLoss(3, order_weight=0.5)]
)
def test_configs(loss: FunnelLoss) -> None:
    assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()
