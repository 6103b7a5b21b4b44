"""ESCM2's loss, which debiases the risk of each conditional step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.losses import step_weights
from tafe_tf.losses.funnel import FunnelLoss, conditional_logs, task_losses
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class CounterfactualLoss(FunnelLoss):
    """The losses over the entire space, and the debiased risk of each conditional step.

    This is the loss of ESCM2 (Wang et al. 2022). delta_i, the cross entropy of step i given step
    i - 1, is seen only in rows with o_{i-1} = 1. The propensity f_{i-1} is held constant, and is at
    least `min_propensity`. The risk of a row is then

        "ips"    o delta / f
        "dr"     e + o (delta - e) / f + o (delta - e)^2 / f, with e an imputation of delta; the
        last
                 term trains the imputation alone, with delta held constant
        "naive"  o delta: the rows that reached the step as they are, for comparison

    Args:
        num_tasks: Length of the funnel, N.
        estimator: How the risks are estimated, "ips", "dr" or "naive" as above.
        counterfactual_weight: Weight of the risks; 1 by default.
        global_weight: Weight of the cross entropies of f_2, ..., f_N over the entire space; 1 by
            default, and 0 for "naive" gives what there was before ESMM.
        min_propensity: Smallest propensity that is divided by, which bounds the rows' weights; 0.01
            by default.
        task_weights: Weights w_1, ..., w_N of the tasks, see `FunnelLoss`; all 1 by default.
        **kwargs: Further arguments of `FunnelLoss`.

    Call arguments:
        y_true: Labels, [B, N].
        y_pred: [B, 2 N - 1], the logits of f and then those of the conditionals; for "dr"
            [B, 3 N - 2], with the imputations (positive) last. With the logits of f alone, [B, N],
            as in evaluation, the conditionals are their quotients, and "dr" is estimated as "ips".
        sample_weight: Weights of the rows, [B]; all 1 by default.

    Returns:
        The mean over rows, a scalar.

    Raises:
        ValueError: If `estimator` is none of the three.

    Example:
        >>> import numpy as np
        >>> loss = CounterfactualLoss(2, "ips", dependence_weight=0.0)
        >>> labels = np.array([[1.0, 0.0]])
        >>> round(float(loss(labels, np.zeros((1, 3)))), 4)  # 2 log 2, and log 2 over 1/2
        2.7726
    """

    def __init__(
        self,
        num_tasks: int,
        estimator: Literal["ips", "dr", "naive"],
        counterfactual_weight: float = 1.0,
        global_weight: float = 1.0,
        min_propensity: float = 0.01,
        task_weights: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(task_weights=task_weights, **kwargs)
        if estimator not in ("ips", "dr", "naive"):
            raise ValueError(
                f"`estimator` must be 'ips', 'dr' or 'naive'. Received: estimator={estimator!r}"
            )
        self.num_tasks = num_tasks
        self.estimator = estimator
        self.counterfactual_weight = counterfactual_weight
        self.global_weight = global_weight
        self.min_propensity = min_propensity

    def weights_for(self, n: int) -> list[float]:
        """Returns the tasks' weights, those of f_2, ..., f_N times `global_weight`."""
        first, *rest = super().weights_for(n)
        weights = [first]
        for weight in rest:
            weights.append(self.global_weight * weight)
        return weights

    def of_funnel(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """Computes the loss of each row: [B, N], [B, C] -> [B]."""
        n = self.num_tasks
        end = 2 * n - 1  # of the conditionals' columns
        labels, weights = step_weights.parted(y_true)
        labels = ops.cast(labels[:, :n], y_pred.dtype)
        later = ops.maximum(labels[:, 1:], 0.0)  # o_2, ..., o_N
        logits = y_pred[:, :n]
        if y_pred.shape[-1] == n:
            log_r, log_not_r = conditional_logs(logits)
            delta = -ops.where(later > 0, log_r, log_not_r)
        else:
            conditionals = y_pred[:, n:end]
            delta = task_losses(later, conditionals)
        propensity = ops.sigmoid(logits[:, :-1])  # f_1, ..., f_{N-1}
        risks = self._risks(
            seen=ops.cast(labels[:, :-1] > 0, labels.dtype),
            delta=delta,
            propensity=ops.stop_gradient(propensity),
            imputed=y_pred[:, end:],
        )
        is_known = ops.minimum(labels[:, :-1], labels[:, 1:]) >= 0  # both ends, [B, N - 1]
        risks = ops.where(is_known, risks, 0.0)
        if weights is not None:
            risks = risks * self._risk_weights(weights[:, :n])
        of_steps = super().of_funnel(step_weights.joined(labels, weights), logits)  # [B]
        of_conditionals = ops.sum(risks, axis=-1)
        return of_steps + self.counterfactual_weight * of_conditionals

    def _risk_weights(self, weights: Tensor) -> Tensor:
        """Returns the weight of each risk: its step's, and 0 where the step before is unknown."""
        knows_previous = ops.cast(weights[:, :-1] > 0, weights.dtype)
        return knows_previous * weights[:, 1:]

    def _risks(
        self,
        seen: Tensor,
        delta: Tensor,
        propensity: Tensor,
        imputed: Tensor,
    ) -> Tensor:
        """Returns the risks of the conditional steps, [B, N - 1]; `imputed` may have no column."""
        if self.estimator == "naive":
            return seen * delta
        weight = seen / ops.maximum(propensity, self.min_propensity)
        if not imputed.shape[-1]:
            return weight * delta
        error = ops.square(ops.stop_gradient(delta) - imputed)
        return imputed + weight * (delta - imputed + error)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {
            "num_tasks": self.num_tasks,
            "estimator": self.estimator,
            "counterfactual_weight": self.counterfactual_weight,
            "global_weight": self.global_weight,
            "min_propensity": self.min_propensity,
        }
        return {**super().get_config(), **config}
