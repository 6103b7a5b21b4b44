"""The calibration error against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.metrics import calibration_error


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


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_keeps_ties_together_under_any_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y, w = rng.integers(1, 40, 500) / 40, rng.integers(0, 2, 500), rng.uniform(0.1, 5, 500)
    gaps = np.zeros(20)
    for value in np.unique(p):  # the bin in which the middle of the tied rows' weight lies
        middle = (w[p < value].sum() + w[p <= value].sum()) / 2 / w.sum()
        gaps[int(20 * middle)] += (w * (p - y))[p == value].sum()
    assert calibration_error(p, y, w) == pytest.approx(np.abs(gaps).sum() / w.sum(), rel=1e-12)
