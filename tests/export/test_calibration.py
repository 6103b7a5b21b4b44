"""Calibration curves against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tafe_tf.export import calibration
from tafe_tf.export.errors import CalibrationError


def truth(logits: np.ndarray) -> np.ndarray:
    """The true probabilities of drawn logits."""
    return np.asarray(expit(0.6 * logits.astype(np.float64) - 0.5))


def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits that are off by a known line, labels and weights; exact to float32's rounding."""
    rng = np.random.default_rng(0)
    first = rng.normal(-1.0, 1.5, n)
    second = first - rng.exponential(1.0, n)
    logits = np.stack([first, second], axis=1).astype(np.float32)
    uniform = rng.random((n, 1))  # one for both steps: a later one happens only after the earlier
    labels = (uniform < truth(logits)).astype(np.float32)
    weights = rng.uniform(0.1, 2.0, n).astype(np.float32)
    return logits, labels, weights


def test_platt_is_the_logistic_regression_of_scikit_learn() -> None:
    logits, labels, weights = drawn(5000)
    curves = calibration.fit("platt", logits, labels, weights)
    calibrated = curves(tf.constant(logits)).numpy()
    for i in range(2):
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
        model.fit(logits[:, i : i + 1], labels[:, i], weights)
        expected = model.decision_function(logits[:, i : i + 1])
        np.testing.assert_allclose(calibrated[:, i], expected, atol=1e-4)


def test_isotonic_follows_scikit_learn_and_keeps_the_order() -> None:
    logits, labels, weights = drawn(20_000)
    curves = calibration.fit("isotonic", logits, labels, weights)
    calibrated = expit(curves(tf.constant(logits)).numpy().astype(np.float64))
    for i in range(2):
        regression = IsotonicRegression().fit(logits[:, i], labels[:, i], weights)
        expected = regression.predict(logits[:, i])
        assert np.abs(calibrated[:, i] - expected).mean() < 0.01
        predicted = (weights * calibrated[:, i]).sum()
        assert predicted == pytest.approx((weights * labels[:, i]).sum(), rel=1e-5)
        order = np.argsort(logits[:, i])
        assert np.all(np.diff(calibrated[order, i]) >= -1e-7)
        error_after = np.abs(calibrated - truth(logits))[:, i].mean()
        error_before = np.abs(expit(logits) - truth(logits))[:, i].mean()
        assert error_after < error_before


def test_calibration_needs_both_labels_and_rising_logits() -> None:
    logits, labels, weights = drawn(200)
    with pytest.raises(
        CalibrationError, match=r"step 2: its held-out labels are all equal \(200 rows\)"
    ):
        calibration.fit("isotonic", logits, labels * [1, 0], weights)
    with pytest.raises(
        CalibrationError, match="step 1: its held-out labels fall where its logits rise"
    ):
        calibration.fit("platt", np.minimum(-logits, 0), labels, weights)


def test_logits_of_a_calibration_are_exact_at_its_knots() -> None:
    low, middle, high = logit([0.1, 0.2, 0.9])
    curve = calibration.Curve(np.array([-1.0, 0.0, 2.0]), np.array([low, middle, high]))
    at = tf.constant([-9.0, -1.0, -0.5, 0.0, 2.0, 9.0])
    expected = [low, low, (low + middle) / 2, middle, high, high]
    np.testing.assert_allclose(curve(at), expected, rtol=1e-6)
