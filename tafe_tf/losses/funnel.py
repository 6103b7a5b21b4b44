"""The training loss (eq. 24-29), those of the models that have their own, and Theorems 2.1 and 3.1's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

SMALLEST = 1e-7  # keeps the logarithm finite where a conditional is cut to 1; float32 resolves 1 - r no finer


def task_losses(labels: Any, logits: Any) -> Any:
    """Binary cross entropy of each row and task, from logits.

    Args:
        labels: o, 0 or 1, [B, N].
        logits: [B, N].

    Returns:
        [B, N].
    """
    # For a label of 0 or 1, -log P(label) = softplus(-logit) or softplus(logit): no 1 - p, so no cancellation.
    return ops.softplus((1.0 - 2.0 * labels) * logits)


def dependence_losses(labels: Any, logits: Any) -> Any:
    """L_D of each row and adjacent pair (eq. 25, 29): (f_{i-1} - f_i - (o_{i-1} - o_i))^2 for i = 2..N.

    Args:
        labels: o, 0 or 1, [B, N].
        logits: of f, [B, N].

    Returns:
        [B, N - 1].
    """
    error = ops.sigmoid(logits) - labels  # [B, N]
    return ops.square(error[:, :-1] - error[:, 1:])


def order_losses(logits: Any) -> Any:
    """max(f_i - f_{i-1}, 0) of each row and adjacent pair: AITM's behavioural expectation calibrator.

    Args:
        logits: of f, [B, N].

    Returns:
        [B, N - 1], 0 where a later step is not likelier than the one before.
    """
    f = ops.sigmoid(logits)
    return ops.relu(f[:, 1:] - f[:, :-1])


def conditional_logs(logits: Any) -> tuple[Any, Any]:
    """log r and log(1 - r) of r = min(f_i / f_{i-1}, 1) for i = 2..N; 1 - r is at least SMALLEST.

    Args:
        logits: of f, [B, N].

    Returns:
        [B, N - 1] each.
    """
    log_f = ops.log_sigmoid(logits)
    log_r = ops.minimum(log_f[:, 1:] - log_f[:, :-1], 0.0)
    return log_r, ops.log(ops.maximum(-ops.expm1(log_r), SMALLEST))


@keras.saving.register_keras_serializable("tafe_tf")
class FunnelLoss(keras.losses.Loss):
    """L of eq. 25 for a funnel of any length: sum_i w_i BCE_i + weight * sum_{i >= 2} L_D,i, a mean over rows.

    Called by Keras with labels [B, N], logits [B, N] and optional row weights [B]; the sum over rows is divided
    by B whatever the weights, as Keras does. Labels beyond column N (a schema's actions) are not read.

    Args:
        task_weights: w_1, ..., w_N; by default all 1.
        dependence_weight: weight of L_D; the paper's is 1, and 0 leaves it out.
        order_weight: weight of the order constraint sum_{i >= 2} max(f_i - f_{i-1}, 0) (AITM's calibrator, there
            0.6); TAFE has none.
    """

    def __init__(
        self,
        task_weights: Sequence[float] | None = None,
        dependence_weight: float = 1.0,
        order_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_weights = None if task_weights is None else [float(w) for w in task_weights]
        self.dependence_weight, self.order_weight = dependence_weight, order_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[B, N], [B, N] -> [B]."""
        labels = ops.cast(y_true[:, : y_pred.shape[-1]], y_pred.dtype)
        bce = task_losses(labels, y_pred)
        loss = ops.sum(
            bce * ops.convert_to_tensor(self._weights(bce.shape[-1]), dtype=bce.dtype), axis=-1
        )
        if self.dependence_weight:
            loss = loss + self.dependence_weight * ops.sum(
                dependence_losses(labels, y_pred), axis=-1
            )
        if self.order_weight:
            loss = loss + self.order_weight * ops.sum(order_losses(y_pred), axis=-1)
        return loss

    def _weights(self, n: int) -> list[float]:
        """w_1, ..., w_N."""
        return [1.0] * n if self.task_weights is None else self.task_weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "task_weights": self.task_weights,
            "dependence_weight": self.dependence_weight,
            "order_weight": self.order_weight,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("tafe_tf")
class ActionLoss(FunnelLoss):
    """`FunnelLoss` and the cross entropy of A actions between steps over the entire space (ESM2's loss).

    Labels are [B, N + A], the actions last, and so are the logits of training. Of the logits [B, N] of inference, as
    `evaluate` has them, it is `FunnelLoss` alone.

    Args:
        num_tasks: N.
        **kwargs: of `FunnelLoss`.
    """

    def __init__(self, num_tasks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tasks = num_tasks

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[B, N + A], [B, N + A] or [B, N] -> [B]."""
        n, columns = self.num_tasks, y_pred.shape[-1]
        actions = task_losses(ops.cast(y_true[:, n:columns], y_pred.dtype), y_pred[:, n:])
        return super().call(y_true, y_pred[:, :n]) + ops.sum(actions, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_tasks": self.num_tasks}


@keras.saving.register_keras_serializable("tafe_tf")
class CounterfactualLoss(FunnelLoss):
    """ESCM2's loss: the entire-space losses, and the risk of each conditional step debiased by its propensity.

    With delta_i the cross entropy of step i given step i - 1, seen only where o_{i-1} = 1, and the propensity
    f_{i-1}, held constant and at least `min_propensity`, a row's risk is

        "ips"    o delta / f
        "dr"     e + o (delta - e) / f + o (delta - e)^2 / f, with e an imputation of delta; the last term trains it
                 alone, with delta held constant
        "naive"  o delta: the click space as it is, for comparison

    Args:
        num_tasks: N.
        estimator: one of these.
        counterfactual_weight: of the risks.
        global_weight: of the entire-space cross entropies of steps 2..N; 0 for "naive" as it was before ESMM.
        min_propensity: bounds the weights.
        task_weights, **kwargs: of `FunnelLoss`.

    Labels are [B, N], predictions [B, 2 N - 1], f's logits and then the conditionals', and for "dr" [B, 3 N - 2], with
    the imputations (positive) last. If there are f's logits alone, [B, N], as in `evaluate`, the conditionals are their
    quotients, and "dr" is estimated as "ips" is.
    """

    def __init__(
        self,
        num_tasks: int,
        estimator: str,
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
        self.num_tasks, self.estimator, self.counterfactual_weight = (
            num_tasks,
            estimator,
            counterfactual_weight,
        )
        self.global_weight, self.min_propensity = global_weight, min_propensity

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[B, N], [B, C] -> [B]."""
        n = self.num_tasks
        labels, logits = ops.cast(y_true[:, :n], y_pred.dtype), y_pred[:, :n]
        if y_pred.shape[-1] == n:
            delta = -ops.where(labels[:, 1:] > 0, *conditional_logs(logits))
        else:
            delta = task_losses(labels[:, 1:], y_pred[:, n : 2 * n - 1])
        propensity = ops.stop_gradient(ops.sigmoid(logits[:, :-1]))
        risks = self._risks(labels[:, :-1], delta, propensity, y_pred[:, 2 * n - 1 :])
        return super().call(labels, logits) + self.counterfactual_weight * ops.sum(risks, axis=-1)

    def _weights(self, n: int) -> list[float]:
        first, *rest = super()._weights(n)
        return [first, *(self.global_weight * weight for weight in rest)]

    def _risks(self, seen: Any, delta: Any, propensity: Any, imputed: Any) -> Any:
        """Risks of the conditional steps, [B, N - 1]; `imputed` may have no column."""
        if self.estimator == "naive":
            return seen * delta
        weight = seen / ops.maximum(propensity, self.min_propensity)
        if not imputed.shape[-1]:
            return weight * delta
        error = ops.square(ops.stop_gradient(delta) - imputed)
        return imputed + weight * (delta - imputed + error)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "num_tasks": self.num_tasks,
            "estimator": self.estimator,
            "counterfactual_weight": self.counterfactual_weight,
            "global_weight": self.global_weight,
            "min_propensity": self.min_propensity,
        }
        return {**super().get_config(), **config}


def local_space_weight(previous: Any, current: Any, label: Any, prior: Any) -> Any:
    """The weight of Theorem 2.1, P(Y = 1) / P(Y = 1 | X, Z), for a row of the local space (one with Y = 1).

    The mean over the local space of weight * L(f_Z(X), Z) is the mean of L(f_Z(X), Z) over the entire space.

    Args:
        previous: P(Y = 1 | X), any shape.
        current: P(Z = 1 | X), at most `previous`.
        label: Z, 0 or 1.
        prior: P(Y = 1) over the entire space.
    """
    # Z = 1 needs Y = 1; Z = 0 is reached with Y = 1 in a share (f_Y - f_Z) / (1 - f_Z) of the cases.
    posterior = ops.where(label == 1, 1.0, (previous - current) / (1.0 - current))
    return prior / posterior


def local_space_dependence_weight(previous: Any, current: Any, difference: Any, prior: Any) -> Any:
    """The weight of Theorem 3.1, P(Y = 1) / P(Y = 1 | X, Y - Z), for a row of the local space.

    Args:
        previous: P(Y = 1 | X), any shape.
        current: P(Z = 1 | X), at most `previous`.
        difference: Y - Z, 0 or 1.
        prior: P(Y = 1) over the entire space.
    """
    # Y - Z = 1 needs Y = 1; Y - Z = 0 has probability 1 - (f_Y - f_Z), of which f_Z with Y = Z = 1.
    posterior = ops.where(difference == 1, 1.0, current / (1.0 - (previous - current)))
    return prior / posterior
