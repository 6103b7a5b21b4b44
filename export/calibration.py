"""Calibration of exported probabilities: fitted on held-out rows, applied inside the graph."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf

from tafe_tf.export.errors import CalibrationError
from tafe_tf.metrics import each_step
from tafe_tf.probabilities import lowest_so_far
from tafe_tf.training.intercepts import intercept_shifts

Kind = Literal["platt", "isotonic"]
KINDS: tuple[Kind, ...] = ("platt", "isotonic")
APART = 0.25  # smallest distance, in logits, between the starts of two pieces of an isotonic curve


@dataclasses.dataclass(frozen=True)
class Curve:
    """A non-decreasing, piecewise linear function of one step's logit.

    Beyond its ends it is constant or, if it has one knot only, a straight line.

    Attributes:
        x: Logits at which it bends, its knots, ascending, [n].
        y: Calibrated logits there, non-decreasing, [n].
        slope: Slope of a curve with one knot; 0 by default, and not used with more knots.
    """

    x: np.ndarray
    y: np.ndarray
    slope: float = 0.0

    def __call__(self, logit: tf.Tensor) -> tf.Tensor:
        """Logits [B] -> calibrated logits, float32 [B]."""
        if len(self.x) == 1:
            distance = logit - self.x[0]
            return self.y[0] + self.slope * distance
        x = tf.constant(self.x, tf.float32)
        y = tf.constant(self.y, tf.float32)
        knot = tf.searchsorted(x, logit, side="right") - 1
        left = tf.clip_by_value(knot, 0, len(self.x) - 2)
        x0 = tf.gather(x, left)
        x1 = tf.gather(x, left + 1)
        y0 = tf.gather(y, left)
        y1 = tf.gather(y, left + 1)
        share = (logit - x0) / (x1 - x0)
        share = tf.clip_by_value(share, 0.0, 1.0)
        return y0 + share * (y1 - y0)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A curve for each step of the funnel.

    A step is calibrated as it is served, that is as min(f_1, ..., f_i), so the curve of a later
    step may cross that of an earlier one. `tafe_tf.probabilities.probabilities` takes the minimum
    again, and ctcvr stays at most ctr.

    Attributes:
        kind: "platt" or "isotonic".
        curves: One for each step.
    """

    kind: Kind
    curves: tuple[Curve, ...]

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Logits [B, N] -> calibrated logits [B, N]; further columns, an amount's, stay."""
        count = len(self.curves)
        lowest = lowest_so_far(logits[:, :count])
        steps = zip(self.curves, lowest, strict=True)
        calibrated = [curve(logit) for curve, logit in steps]
        stacked = tf.stack(calibrated, axis=1)
        if logits.shape[1] == count:
            return stacked
        return tf.concat([stacked, logits[:, count:]], axis=1)

    def describe(self) -> dict[str, Any]:
        """What the model card says about it."""
        if self.kind == "isotonic":
            return {
                "kind": self.kind,
                "knots": [len(curve.x) for curve in self.curves],
            }
        return {
            "kind": self.kind,
            "a": [curve.slope for curve in self.curves],
            "b": [float(curve.y[0]) for curve in self.curves],
        }


def fit(
    kind: Kind,
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
) -> Calibration:
    """Fits a curve for each step on its own, over the entire space.

    "platt" fits sigmoid(a logit + b) by maximum likelihood (Platt 1999, without his smoothed
    targets). "isotonic" fits the non-decreasing function of least squares (Zadrozny & Elkan 2002)
    and joins the middles of its steps by straight lines, so that only rows beyond its ends are
    tied. With both, predictions sum to labels.

    Args:
        kind: "platt" or "isotonic".
        logits: Logits of held-out rows, [n, N].
        labels: 0 or 1, [n, N].
        weights: Sample weights, [n], or of each row's steps, [n, N], 0 where a label is unknown.

    Returns:
        The calibration.

    Raises:
        CalibrationError: If all held-out labels of a step are equal, or its logits do not rise with
            them.

    Example:

    >>> logits = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> labels = np.array([[0], [1], [0], [1]])
    >>> calibration = fit("platt", logits, labels, np.ones(4))
    >>> calibrated = calibration(tf.constant(logits, tf.float32))
    >>> round(float(tf.reduce_sum(tf.sigmoid(calibrated))), 4)
    2.0
    """
    fit_curve = {"platt": _platt, "isotonic": _isotonic}[kind]
    lowest = logits.astype(np.float64)
    lowest = np.minimum.accumulate(lowest, axis=1)
    labels = labels.astype(np.float64)
    of_steps = each_step(weights, logits.shape)
    curves = []
    for i in range(logits.shape[1]):
        weight = of_steps[:, i]
        seen = labels[weight > 0, i]
        if len(seen) == 0 or seen.min() == seen.max():
            raise CalibrationError(
                f"step {i + 1}: its held-out labels are all equal ({len(seen)} rows)"
            )
        curve = fit_curve(lowest[:, i], labels[:, i], weight)
        if curve.slope < 0:
            raise CalibrationError(f"step {i + 1}: its held-out labels fall where its logits rise")
        curves.append(curve)
    return Calibration(kind, tuple(curves))


def _platt(
    logit: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
) -> Curve:
    """The line a logit + b of largest likelihood, by Newton steps in a trust region."""
    total = weight.sum()

    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        z = ab[0] * logit + ab[1]
        value = weight @ (np.logaddexp(0.0, z) - label * z)
        difference = weight * (scipy.special.expit(z) - label)
        gradient = np.array([difference @ logit, difference.sum()])
        return value / total, gradient / total

    def curvature(ab: np.ndarray) -> np.ndarray:
        z = ab[0] * logit + ab[1]
        p = scipy.special.expit(z)
        variance = weight * p * (1.0 - p)
        inputs = np.stack([logit, np.ones_like(logit)])
        return np.asarray((inputs * variance) @ inputs.T / total)

    found = scipy.optimize.minimize(
        loss,
        np.array([1.0, 0.0]),
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    a, b = found.x
    return Curve(np.zeros(1), np.array([b]), float(a))


def _isotonic(
    logit: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
) -> Curve:
    """Joins the blocks of the isotonic regression at their middles; predictions sum to labels."""
    seen = weight > 0
    x, row = np.unique(logit[seen], return_inverse=True)  # equal logits get equal probabilities
    total = np.bincount(row, weight[seen])
    positive = (weight * label)[seen]
    rate = np.bincount(row, positive) / total
    regression = scipy.optimize.isotonic_regression(rate, weights=total)
    starts = _apart(regression.blocks[:-1], x)
    block = np.add.reduceat(total, starts)
    middle = np.add.reduceat(total * x, starts) / block
    share = np.add.reduceat(total * rate, starts) / block
    # A block without a positive, or of positives only, is no proof of probability 0 or 1.
    least = 0.5 / (block + 1.0)
    share = np.clip(share, least, 1.0 - least)
    share = np.maximum.accumulate(share)
    y = scipy.special.logit(share)
    calibrated = np.interp(logit, middle, y)
    shift = intercept_shifts(
        calibrated[:, None],
        label[:, None],
        weight,
    )
    return Curve(middle, y + shift)


def _apart(starts: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Joins blocks that start less than `APART` after another: steeper curves follow noise."""
    kept = [int(starts[0])]
    for start in starts[1:]:
        if x[start] - x[kept[-1]] >= APART:
            kept.append(int(start))
    return np.array(kept)
