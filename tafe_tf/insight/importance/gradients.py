"""Integrated gradients: what each field adds to a row's prediction, as the step from a baseline.

Sundararajan, Taly and Yan (2017). With H the embeddings of the row, [F, d], and H' those of the
baseline, field f adds to an output z

    sum over the d numbers of (H_f - H'_f) times the mean of dz / dH_f on the way from H' to H

and what all fields add is z(H) - z(H'). The mean is taken by the midpoint rule. The number of its
steps is doubled until the sums agree with that difference and the last doubling has changed no
field's part: errors of fields may cancel in the sum.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tafe_tf import log_normal
from tafe_tf.metrics import SMALLEST
from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import lowest_so_far
from tafe_tf.schema import Schema

TOLERANCE = 0.01  # of a log odds
FEWEST_STEPS = 16
MOST_STEPS = 1 << 14
_AT_ONCE = 512  # steps that go through the model together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """What each field adds to each output of a row.

    Attributes:
        outputs: The outputs' names, [O], as `Schema.output_names`.
        fields: The fields' names, [F], as `Schema.fields`.
        attributions: What each field adds, float64 [F, O]: of a probability to its log odds, of an
            amount to its logarithm.
        value: Each output of the row, [O], on that scale.
        baseline: Each output of the baseline, [O].
        change: The most that an attribution differs from that by half as many steps.
        steps: In how many steps the way was gone.
    """

    outputs: tuple[str, ...]
    fields: tuple[str, ...]
    attributions: np.ndarray
    value: np.ndarray
    baseline: np.ndarray
    change: float
    steps: int

    @property
    def error(self) -> np.ndarray:
        """By how much the sums of the attributions are above value minus baseline, [O]."""
        return np.asarray(self.attributions.sum(axis=0) - (self.value - self.baseline))


def log_odds(outputs: tf.Tensor, schema: Schema) -> tf.Tensor:
    """Computes the log odds of the probabilities that are served, and the logarithms of amounts.

    They are those of `probabilities`, without its rounding near 0 and 1. As in the metrics, a
    conditional's 1 - p is at least `SMALLEST`.

    Args:
        outputs: What a model gives, [B, N], or [B, N + 2] with an amount.
        schema: The funnel's.

    Returns:
        [B, O], in the order of `Schema.output_names`.
    """
    lowest = lowest_so_far(outputs[:, : len(schema.tasks)])
    logs = [tf.math.log_sigmoid(logit) for logit in lowest]
    columns = list(lowest)
    for before, log in itertools.pairwise(logs):
        log_p = tf.minimum(log - before, 0.0)
        not_p = tf.maximum(-tf.math.expm1(log_p), SMALLEST)
        columns.append(log_p - tf.math.log(not_p))
    if schema.amount is not None:
        log_mean = log_normal.log_means(outputs[:, -log_normal.COLUMNS :])
        columns += [log_mean, logs[-1] + log_mean]
    return tf.stack(columns, axis=1)


class Explainer:
    """Divides predictions among fields.

    Args:
        model: The model.
        schema: The funnel's.
        baseline: What `FunnelModel.embed` gives of the baseline, with one row.
    """

    def __init__(self, model: FunnelModel, schema: Schema, baseline: np.ndarray) -> None:
        self._schema = schema
        self._baseline = baseline
        self._dim = model.embedding_dim
        outputs = _outputs_of(model, schema)
        gradients = _summed_gradients(outputs, len(schema.output_names))
        shape = tf.TensorSpec([None, *baseline.shape[1:]], tf.float32)
        self._values = tf.function(outputs, [shape], autograph=False)
        self._gradients = tf.function(gradients, [shape], autograph=False)

    def explain(
        self,
        h: np.ndarray,
        tolerance: float = TOLERANCE,
        most_steps: int = MOST_STEPS,
    ) -> Explanation:
        """Explains one row.

        Args:
            h: What `FunnelModel.embed` gives of it, with one row.
            tolerance: Steps are doubled until the error of each output is at most this, and so is
                what the last doubling has changed of each attribution. Default: 0.01.
            most_steps: Or until they would be more than this many. Default: 16,384.
        """
        value = self._values(h).numpy()[0].astype(np.float64)
        baseline = self._values(self._baseline).numpy()[0].astype(np.float64)
        steps = FEWEST_STEPS
        before = self._attributions(h, steps)
        while True:
            steps *= 2
            attributions = self._attributions(h, steps)
            found = Explanation(
                outputs=self._schema.output_names,
                fields=self._schema.fields,
                attributions=attributions,
                value=value,
                baseline=baseline,
                change=float(np.abs(attributions - before).max()),
                steps=steps,
            )
            is_exact = max(np.abs(found.error).max(), found.change) <= tolerance
            if is_exact or 2 * steps > most_steps:
                return found
            before = attributions

    def _attributions(self, h: np.ndarray, steps: int) -> np.ndarray:
        """What each field adds to each output, by so many steps, [F, O]."""
        way = h - self._baseline
        middles = (np.arange(steps) + 0.5) / steps
        shape = (-1, *[1] * (h.ndim - 1))
        total: np.ndarray | float = 0.0
        for start in range(0, steps, _AT_ONCE):
            shares = middles[start : start + _AT_ONCE].astype(np.float32).reshape(shape)
            total = total + self._gradients(self._baseline + shares * way).numpy()
        mean = np.asarray(total, np.float64) / steps  # [O, ...], one row of H each
        count = len(self._schema.fields)
        by_field = (mean * way).reshape(len(mean), -1, count, self._dim)  # one or N tables
        return np.asarray(by_field.sum(axis=(1, 3)).T)


def _outputs_of(model: FunnelModel, schema: Schema) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function from what `embed` gives to log odds, [B, O], by the layers themselves."""

    def outputs(h: tf.Tensor) -> tf.Tensor:
        with model.without_native():
            return log_odds(model.logits(h), schema)

    return outputs


def _summed_gradients(
    outputs: Callable[[tf.Tensor], tf.Tensor],
    count: int,
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function from [B, ...] to each output's gradient, summed over the rows, [O, ...]."""

    def gradients(h: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(h)
            values = outputs(h)
            columns = [values[:, i] for i in range(count)]
        none = tf.UnconnectedGradients.ZERO
        of_rows = [tape.gradient(column, h, unconnected_gradients=none) for column in columns]
        return tf.stack([tf.reduce_sum(each, axis=0) for each in of_rows])

    return gradients
