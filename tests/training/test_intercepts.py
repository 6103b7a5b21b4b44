"""Intercepts: after the shift, predictions sum to labels."""

from __future__ import annotations

import numpy as np
import pytest
from registry import make
from scipy.special import expit

from tafe_tf.models.products import product_logits
from tafe_tf.training.intercepts import intercept_shifts, log_odds


@pytest.mark.parametrize("heads", ["separate", "conditional"])
def test_a_model_of_nothing_else_predicts_the_rates(heads: str) -> None:
    rates = [0.2, 0.01, 0.004]
    model = make("shared_bottom", [4, 3, 5], 3, dtype="float64", heads=heads)
    model.heads.kernel.assign(np.zeros(model.heads.kernel.shape))
    model.shift_logits(log_odds(rates, model.products))
    np.testing.assert_allclose(expit(np.array(model(np.zeros((1, 3), int)))[0]), rates, rtol=1e-9)


def test_a_rate_of_0_or_1_starts_at_0() -> None:
    np.testing.assert_allclose(log_odds([1.0, 0.5, 0.0]), [0.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(log_odds([0.5, 0.0, 0.0], products=True), 0.0, atol=1e-12)


def test_intercept_shifts() -> None:
    rng = np.random.default_rng(0)
    logits, weights = rng.normal(size=(50, 3)), rng.uniform(size=50)
    labels = np.stack(
        [rng.random(50) < 0.9, np.arange(50) == 3, np.zeros(50, bool)], axis=1
    ).astype(float)
    shifts = intercept_shifts(logits, labels, weights)
    p = 1 / (1 + np.exp(-(logits + shifts)))
    np.testing.assert_allclose(weights @ p[:, :2], weights @ labels[:, :2], rtol=1e-9)
    assert shifts[2] == 0


def test_intercept_shifts_of_products() -> None:
    rng = np.random.default_rng(0)
    conditionals, weights = rng.normal(size=(80, 3)), rng.uniform(size=80)
    depth = rng.integers(0, 4, size=(80, 1))
    labels = (np.arange(3) < depth).astype(float)
    shifts = intercept_shifts(
        np.array(product_logits(conditionals)), labels, weights, products=True
    )
    p = np.cumprod(1 / (1 + np.exp(-(conditionals + shifts))), axis=1)
    np.testing.assert_allclose(weights @ p, weights @ labels, rtol=1e-8)
