"""The funnel's metrics for `keras.Model.compile`, on any backend: logits [B, N] in, one number a metric out.

They are what `tafe_tf.metrics` says, under the same names, but for a state of fixed size: sums are float32 and the AUC
is binned. `FunnelMetrics` keeps all rows and is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.losses import conditional_logs

LIMIT = 20  # logits beyond it tie; 20 is a probability of 2e-9
BINS = 4000  # of the AUC, 0.01 wide in the logit


def funnel_metrics(
    step_names: Sequence[str], conditional_names: Sequence[str]
) -> list[keras.metrics.Metric]:
    """auc/NAME, log_loss/NAME and pcoc/NAME of a funnel.

    Give the list to `compile(weighted_metrics=...)`: Keras weights no others by `sample_weight`.

    Args:
        step_names: of f_1, ..., f_N, measured on all rows; `Schema.step_names`, ("ctr", "ctcvr") for two steps.
        conditional_names: of f_i / f_{i-1}, i = 2..N, measured on the rows whose previous label is 1;
            `Schema.conditional_names`, ("cvr",) for two steps.

    Raises:
        ValueError: if there is not one conditional less than steps.
    """
    if len(conditional_names) != len(step_names) - 1:
        raise ValueError(
            f"must be N names and N - 1. Received: {step_names} and {conditional_names}"
        )
    measured = [(i, False, name) for i, name in enumerate(step_names)]
    measured += [(i, True, name) for i, name in enumerate(conditional_names, start=1)]
    kinds = {"auc": AUC, "log_loss": LogLoss, "pcoc": PCOC}
    return [
        made(i, given, name=f"{kind}/{name}")
        for kind, made in kinds.items()
        for i, given, name in measured
    ]


class FunnelMetric(keras.metrics.Metric):
    """A metric of one step of the funnel. What is undefined is NaN.

    Args:
        step: i - 1, the column of f_i.
        given_previous: measure f_i / f_{i-1}, at most 1, on the rows whose previous label is 1, instead of f_i on all.

    Call arguments:
        y_true: labels, [B, N or more].
        y_pred: logits of f, [B, N or more]; in training some models give further columns.
        sample_weight: [B] or [B, 1], by default 1.
    """

    def __init__(self, step: int, given_previous: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not int(given_previous) <= step:
            raise ValueError(
                f"the first step has none before it. Received: step={step}, {given_previous=}"
            )
        self.step, self.given_previous = step, given_previous

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        i = self.step
        labels, logits = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        weight = ops.ones_like(labels[:, i])
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        if not self.given_previous:
            self.add(
                labels[:, i], ops.log_sigmoid(logits[:, i]), ops.log_sigmoid(-logits[:, i]), weight
            )
            return
        log_p, log_not_p = conditional_logs(logits[:, i - 1 : i + 1])
        self.add(labels[:, i], log_p[:, 0], log_not_p[:, 0], weight * labels[:, i - 1])

    def add(self, label: Any, log_p: Any, log_not_p: Any, weight: Any) -> None:
        """Adds rows: labels, log p, log(1 - p) and weights, each [B]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "step": self.step, "given_previous": self.given_previous}


@keras.saving.register_keras_serializable("tafe_tf")
class AUC(FunnelMetric):
    """Area under the ROC curve, ties counting half, of logits in bins of 0.01 between -20 and 20.

    A positive and a negative in one bin count as a tie, so the error is at most half the share of such pairs, whose
    odds differ by less than 1 %. Where scores are smooth it is far less: these pairs are ordered either way.
    Probabilities near 1e-6 are told apart as well as those near 1/2, as thresholds even in [0, 1] do not.

    Args:
        step, given_previous, **kwargs: see `FunnelMetric`.
    """

    _direction = "up"  # for the callbacks' mode="auto"

    def __init__(self, step: int, given_previous: bool = False, **kwargs: Any) -> None:
        super().__init__(step, given_previous, **kwargs)
        self.positive = self.add_variable((BINS,), "zeros", name="positive")
        self.negative = self.add_variable((BINS,), "zeros", name="negative")

    def add(self, label: Any, log_p: Any, log_not_p: Any, weight: Any) -> None:
        """Adds rows."""
        place = (log_p - log_not_p + LIMIT) * (BINS / (2 * LIMIT))
        bins = ops.cast(ops.clip(place, 0, BINS - 1), "int32")
        self.positive.assign_add(ops.segment_sum(weight * label, bins, BINS))
        self.negative.assign_add(ops.segment_sum(weight * (1.0 - label), bins, BINS))

    def result(self) -> Any:
        """The area, a scalar; NaN without a positive or without a negative."""
        below = ops.cumsum(self.negative) - 0.5 * self.negative
        return ops.sum(self.positive * below) / (ops.sum(self.positive) * ops.sum(self.negative))


class _Ratio(FunnelMetric):
    """A quotient of two sums over rows."""

    def __init__(self, step: int, given_previous: bool = False, **kwargs: Any) -> None:
        super().__init__(step, given_previous, **kwargs)
        self.numerator = self.add_variable((), "zeros", name="numerator")
        self.denominator = self.add_variable((), "zeros", name="denominator")

    def add_terms(self, numerator: Any, denominator: Any) -> None:
        """Adds rows, [B] each."""
        self.numerator.assign_add(ops.sum(numerator))
        self.denominator.assign_add(ops.sum(denominator))

    def result(self) -> Any:
        """The quotient, a scalar; NaN where nothing was measured."""
        total = ops.convert_to_tensor(self.denominator)
        return self.numerator / ops.where(total > 0, total, float("nan"))


@keras.saving.register_keras_serializable("tafe_tf")
class LogLoss(_Ratio):
    """Mean of -y log p - (1 - y) log(1 - p).

    Args:
        step, given_previous, **kwargs: see `FunnelMetric`.
    """

    _direction = "down"

    def add(self, label: Any, log_p: Any, log_not_p: Any, weight: Any) -> None:
        """Adds rows."""
        self.add_terms(-weight * ops.where(label > 0, log_p, log_not_p), weight)


@keras.saving.register_keras_serializable("tafe_tf")
class PCOC(_Ratio):
    """Sum of predictions / sum of labels: 1 is calibrated on the whole.

    Args:
        step, given_previous, **kwargs: see `FunnelMetric`.
    """

    def add(self, label: Any, log_p: Any, log_not_p: Any, weight: Any) -> None:
        """Adds rows."""
        self.add_terms(weight * ops.exp(log_p), weight * label)
