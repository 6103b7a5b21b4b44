"""The funnel's metrics for `keras.Model.compile`, on any backend.

They read logits [B, N] and give one number each. They are what `tafe_tf.metrics` says, under the
same names, but keep a state of fixed size: sums are float32 and the AUC is binned. `FunnelMetrics`
keeps all rows and is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.losses import conditional_logs
from tafe_tf.types import Tensor

LIMIT = 20  # logits beyond it tie; 20 is a probability of 1 - 2e-9
BINS = 4000  # of the AUC, each 0.01 wide in the logit


def funnel_metrics(
    step_names: Sequence[str], conditional_names: Sequence[str]
) -> list[keras.metrics.Metric]:
    """Makes auc/NAME, log_loss/NAME and pcoc/NAME of every step and conditional of a funnel.

    Give the list to `compile(weighted_metrics=...)`: Keras weights no others by `sample_weight`.

    Args:
        step_names: Names of f_1, ..., f_N, measured on all rows; `Schema.step_names` has them,
            ("ctr", "ctcvr") for two steps.
        conditional_names: Names of f_i / f_{i-1}, i = 2..N, measured on the rows whose previous
            label is 1; `Schema.conditional_names` has them, ("cvr",) for two steps.

    Raises:
        ValueError: If there is not one conditional fewer than there are steps.

    Example:
        >>> [metric.name for metric in funnel_metrics(["ctr", "ctcvr"], ["cvr"])][:4]
        ['auc/ctr', 'auc/ctcvr', 'auc/cvr', 'log_loss/ctr']
    """
    if len(conditional_names) != len(step_names) - 1:
        raise ValueError(
            f"must be N names and N - 1. Received: {step_names} and {conditional_names}"
        )
    kinds: dict[str, type[FunnelMetric]] = {
        "auc": AUC,
        "log_loss": LogLoss,
        "pcoc": PCOC,
    }
    metrics = []
    for kind, metric_class in kinds.items():
        for step, name in enumerate(step_names):
            metric = metric_class(step, name=f"{kind}/{name}")
            metrics.append(metric)
        for step, name in enumerate(conditional_names, start=1):
            metric = metric_class(step, given_previous=True, name=f"{kind}/{name}")
            metrics.append(metric)
    return metrics


class FunnelMetric(keras.metrics.Metric):
    """A metric of one step of the funnel, to be completed by `add` and `result`.

    Args:
        step: Column of f_i, from 0.
        given_previous: Whether to measure f_i / f_{i-1}, at most 1, on the rows whose previous
            label is 1, instead of f_i on all rows; False by default.

    Call arguments:
        y_true: Labels, [B, N or more], or [B] for one step. A row whose label of the step is
            negative, which means unknown, does not count.
        y_pred: Logits of f, [B, N or more]; in training some models give further columns.
        sample_weight: Weights of the rows, [B] or [B, 1]; all 1 by default.

    Returns:
        A scalar, NaN where it is undefined.

    Raises:
        ValueError: If the first step is to be measured given the one before it.
    """

    def __init__(
        self,
        step: int,
        given_previous: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if given_previous and step < 1:
            raise ValueError(
                f"the first step has none before it. Received: step={step}, {given_previous=}"
            )
        self.step = step
        self.given_previous = given_previous

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor = None,
    ) -> None:
        """Adds a batch."""
        i = self.step
        labels = ops.cast(y_true, "float32")
        if len(labels.shape) == 1:
            labels = ops.expand_dims(labels, -1)
        logits = ops.cast(y_pred, "float32")
        label = labels[:, i]
        weight = ops.ones_like(label)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weighs_steps = len(weight.shape) == 2 and weight.shape[1] > 1
            weight = weight[:, i] if weighs_steps else ops.reshape(weight, (-1,))
        weight = weight * ops.cast(label >= 0, "float32")
        label = ops.maximum(label, 0.0)
        if self.given_previous:
            pair = logits[:, i - 1 : i + 1]  # of f_{i-1} and f_i
            log_r, log_not_r = conditional_logs(pair)  # [B, 1] each
            log_p = log_r[:, 0]
            log_not_p = log_not_r[:, 0]
            weight = weight * ops.maximum(labels[:, i - 1], 0.0)
        else:
            logit = logits[:, i]
            log_p = ops.log_sigmoid(logit)
            log_not_p = ops.log_sigmoid(-logit)
        self.add(label, log_p, log_not_p, weight)

    def add(
        self,
        label: Tensor,
        log_p: Tensor,
        log_not_p: Tensor,
        weight: Tensor,
    ) -> None:
        """Adds rows: their labels, log p, log(1 - p) and weights, each [B]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "step": self.step,
            "given_previous": self.given_previous,
        }


@keras.saving.register_keras_serializable("tafe_tf")
class AUC(FunnelMetric):
    """Area under the ROC curve, ties counting half, of logits in bins of 0.01 between -20 and 20.

    A positive and a negative in one bin count as a tie, so the error is at most half the share of
    such pairs, whose odds differ by less than 1 %. Where scores are smooth it is far less, because
    such pairs are ordered either way. Probabilities near 1e-6 are told apart as well as those near
    1/2, which thresholds even in [0, 1] do not do. Arguments and call are those of `FunnelMetric`.

    Example:
        >>> import numpy as np
        >>> metric = AUC(step=0)
        >>> metric.update_state(np.array([[1], [0], [0]]), np.array([[0.2], [0.1], [0.2]]))
        >>> round(float(metric.result()), 4)
        0.75
    """

    _direction = "up"  # by which Keras's callbacks in mode "auto" know that larger is better

    def __init__(
        self,
        step: int,
        given_previous: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(step, given_previous, **kwargs)
        self.positive = self.add_variable(
            (BINS,),
            "zeros",
            name="positive",
        )
        self.negative = self.add_variable(
            (BINS,),
            "zeros",
            name="negative",
        )

    def add(
        self,
        label: Tensor,
        log_p: Tensor,
        log_not_p: Tensor,
        weight: Tensor,
    ) -> None:
        """Adds rows."""
        logit = log_p - log_not_p
        bins_per_logit = BINS / (2 * LIMIT)
        place = (logit + LIMIT) * bins_per_logit
        place = ops.clip(place, 0, BINS - 1)
        bins = ops.cast(place, "int32")
        positive = weight * label
        self.positive.assign_add(ops.segment_sum(positive, bins, BINS))
        negative = weight * (1.0 - label)
        self.negative.assign_add(ops.segment_sum(negative, bins, BINS))

    def result(self) -> Tensor:
        """Returns the area, a scalar; NaN without a positive or without a negative."""
        below = ops.cumsum(self.negative) - 0.5 * self.negative
        won = ops.sum(self.positive * below)
        pairs = ops.sum(self.positive) * ops.sum(self.negative)
        return won / pairs


class _Ratio(FunnelMetric):
    """A quotient of two sums over rows."""

    def __init__(
        self,
        step: int,
        given_previous: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(step, given_previous, **kwargs)
        self.numerator = self.add_variable((), "zeros", name="numerator")
        self.denominator = self.add_variable((), "zeros", name="denominator")

    def add_terms(self, numerator: Tensor, denominator: Tensor) -> None:
        """Adds rows, [B] each."""
        self.numerator.assign_add(ops.sum(numerator))
        self.denominator.assign_add(ops.sum(denominator))

    def result(self) -> Tensor:
        """Returns the quotient, a scalar; NaN where nothing was measured."""
        total = ops.convert_to_tensor(self.denominator)
        total = ops.where(total > 0, total, float("nan"))
        return self.numerator / total


@keras.saving.register_keras_serializable("tafe_tf")
class LogLoss(_Ratio):
    """Mean of -y log p - (1 - y) log(1 - p). Arguments and call are those of `FunnelMetric`.

    Example:
        >>> import numpy as np
        >>> metric = LogLoss(step=0)
        >>> metric.update_state(np.array([[1], [0]]), np.array([[0.0], [0.0]]))
        >>> round(float(metric.result()), 4)  # log 2
        0.6931
    """

    _direction = "down"

    def add(
        self,
        label: Tensor,
        log_p: Tensor,
        log_not_p: Tensor,
        weight: Tensor,
    ) -> None:
        """Adds rows."""
        log_likelihood = ops.where(label > 0, log_p, log_not_p)
        losses = -weight * log_likelihood
        self.add_terms(losses, weight)


@keras.saving.register_keras_serializable("tafe_tf")
class PCOC(_Ratio):
    """Sum of predictions / sum of labels, which is 1 where predictions are right on the whole.

    Arguments and call are those of `FunnelMetric`.

    Example:
        >>> import numpy as np
        >>> metric = PCOC(step=0)
        >>> metric.update_state(np.array([[1], [0], [0]]), np.array([[0.0], [0.0], [0.0]]))
        >>> round(float(metric.result()), 4)  # 3/2 predicted, 1 observed
        1.5
    """

    def add(
        self,
        label: Tensor,
        log_p: Tensor,
        log_not_p: Tensor,
        weight: Tensor,
    ) -> None:
        """Adds rows."""
        predicted = weight * ops.exp(log_p)
        observed = weight * label
        self.add_terms(predicted, observed)
