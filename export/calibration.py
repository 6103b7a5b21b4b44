"""Calibration of the exported probabilities, fitted on held-out rows, applied inside the graph."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf

from tafe_tf.probabilities import lowest_so_far
from tafe_tf.training.intercepts import intercept_shifts

Kind = Literal["platt", "isotonic"]
KINDS: tuple[Kind, ...] = ("platt", "isotonic")
APART = 0.25  # logits between the starts of two pieces of an isotonic curve


class CalibrationError(ValueError):
    """The held-out rows cannot calibrate a task."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A non-decreasing, piecewise linear function of one task's logit, constant or linear beyond its ends.

    Attributes:
        x: logits where it bends, ascending [n].
        y: calibrated logits there, non-decreasing [n].
        slope: beyond both ends.
    """

    x: np.ndarray
    y: np.ndarray
    slope: float = 0.0

    def __call__(self, logit: Any) -> tf.Tensor:
        """Logits -> calibrated logits, float32 [B]."""
        if len(self.x) == 1:
            return self.y[0] + self.slope * (logit - self.x[0])
        x, y = (tf.constant(values, tf.float32) for values in (self.x, self.y))
        left = tf.clip_by_value(tf.searchsorted(x, logit, side="right") - 1, 0, len(self.x) - 2)
        x0, x1, y0, y1 = (
            tf.gather(x, left),
            tf.gather(x, left + 1),
            tf.gather(y, left),
            tf.gather(y, left + 1),
        )
        share = tf.clip_by_value((logit - x0) / (x1 - x0), 0.0, 1.0)
        return y0 + share * (y1 - y0)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A curve for each step of the funnel.

    A step is calibrated as it is served, that is min(f_1, ..., f_i), so the curve of a later step may cross that of
    an earlier one: `tafe_tf.outputs.probabilities` takes the minimum again, and ctcvr stays at most ctr.

    Attributes:
        kind: "platt" or "isotonic".
        curves: one a task.
    """

    kind: Kind
    curves: tuple[Curve, ...]

    def __call__(self, logits: Any) -> tf.Tensor:
        """Logits [B, N] -> calibrated logits [B, N]."""
        return tf.stack(
            [c(logit) for c, logit in zip(self.curves, lowest_so_far(logits), strict=True)], axis=1
        )

    def describe(self) -> dict[str, Any]:
        """What the model card says of it."""
        if self.kind == "platt":
            return {
                "kind": self.kind,
                "a": [c.slope for c in self.curves],
                "b": [float(c.y[0]) for c in self.curves],
            }
        return {"kind": self.kind, "knots": [len(c.x) for c in self.curves]}


def fit(kind: Kind, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Calibration:
    """Fits each step on its own, over the entire space.

    "platt" fits sigmoid(a logit + b) by maximum likelihood (Platt 1999, without his smoothed targets); "isotonic" the
    non-decreasing function of least squares (Zadrozny & Elkan 2002), whose steps are joined by straight lines between
    their middles, so that it ties no more rows than those beyond its ends. Of both, predictions sum to labels.

    Args:
        kind: which.
        logits: of held-out rows, [n, N].
        labels: 0 or 1, [n, N].
        weights: sample weights, [n].

    Raises:
        CalibrationError: if a task's held-out labels are all equal, or its logits do not rise with them.
    """
    lowest = np.minimum.accumulate(logits.astype(np.float64), axis=1)
    curve = {"platt": _platt, "isotonic": _isotonic}[kind]
    curves = []
    for i in range(logits.shape[1]):
        positive = labels[weights > 0, i]
        if len(positive) == 0 or positive.min() == positive.max():
            raise CalibrationError(
                f"step {i + 1}: its held-out labels are all equal ({len(positive)} rows)"
            )
        curves.append(
            curve(lowest[:, i], labels[:, i].astype(np.float64), weights.astype(np.float64))
        )
        if curves[i].slope < 0:
            raise CalibrationError(f"step {i + 1}: its held-out labels fall where its logits rise")
    return Calibration(kind, tuple(curves))


def _platt(logit: np.ndarray, label: np.ndarray, weight: np.ndarray) -> Curve:
    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        z = ab[0] * logit + ab[1]
        difference = weight * (scipy.special.expit(z) - label)
        value = weight @ (np.logaddexp(0.0, z) - label * z)
        return value / weight.sum(), np.array([difference @ logit, difference.sum()]) / weight.sum()

    def curvature(ab: np.ndarray) -> np.ndarray:
        p = scipy.special.expit(ab[0] * logit + ab[1])
        inputs = np.stack([logit, np.ones_like(logit)])
        return (inputs * (weight * p * (1.0 - p))) @ inputs.T / weight.sum()

    start, exact = np.array([1.0, 0.0]), {"gtol": 1e-10}
    a, b = scipy.optimize.minimize(
        loss, start, jac=True, hess=curvature, method="trust-exact", options=exact
    ).x
    return Curve(np.zeros(1), np.array([b]), float(a))


def _isotonic(logit: np.ndarray, label: np.ndarray, weight: np.ndarray) -> Curve:
    x, row = np.unique(
        logit[weight > 0], return_inverse=True
    )  # equal logits get equal probabilities
    total = np.bincount(row, weight[weight > 0])
    rate = np.bincount(row, (weight * label)[weight > 0]) / total
    starts = _apart(scipy.optimize.isotonic_regression(rate, weights=total).blocks[:-1], x)
    block = np.add.reduceat(total, starts)
    middle = np.add.reduceat(total * x, starts) / block
    share = np.add.reduceat(total * rate, starts) / block
    least = 0.5 / (
        block + 1.0
    )  # a block without a positive, or of positives only, is no proof of 0 or 1
    share = np.maximum.accumulate(np.clip(share, least, 1.0 - least))
    curve = Curve(middle, scipy.special.logit(share))
    calibrated = np.interp(logit, curve.x, curve.y)[:, None]
    return Curve(curve.x, curve.y + intercept_shifts(calibrated, label[:, None], weight))


def _apart(starts: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Joins blocks that start less than `APART` after another: steeper curves follow noise and amplify rounding."""
    kept = [int(starts[0])]
    for start in starts[1:]:
        if x[start] - x[kept[-1]] >= APART:
            kept.append(int(start))
    return np.array(kept)
