"""The paper's training loss (eq. 24-29) and the terms that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf import log_normal
from tafe_tf.losses import step_weights
from tafe_tf.losses.balancing import Balance
from tafe_tf.losses.delays import ExponentialDelay
from tafe_tf.losses.expected_labels import expected_labels
from tafe_tf.losses.label_check import checked_labels
from tafe_tf.metrics import SMALLEST
from tafe_tf.types import Tensor


def task_losses(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes the binary cross entropy of each row and task.

    Args:
        labels: o, 0 or 1, or for an unknown label its expectation, [B, N].
        logits: Logits of f, [B, N].

    Returns:
        The cross entropies, [B, N].

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
        >>> np.round(task_losses(labels, logits), 4).tolist()  # -log(1/2), -log(1 - sigmoid(2))
        [[0.6931, 2.1269]]
    """
    # For a label of 0 or 1, -log P(label) is softplus(logit) or softplus(-logit): no 1 - p, and so
    # no cancellation.
    sign = 1.0 - 2.0 * labels
    return ops.softplus(sign * logits)


def known_task_losses(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes the cross entropy of each row and task, and 0 for labels that are unknown.

    Args:
        labels: o, 0 or 1, or a negative number for unknown, [B, N].
        logits: Logits of f, [B, N].

    Returns:
        The cross entropies, [B, N].

    Example:
        >>> import numpy as np
        >>> known_task_losses(np.array([[0.0, -1.0]]), np.array([[0.0, 2.0]])).numpy().round(4)
        array([[0.6931, 0.    ]])
    """
    is_known = ops.cast(labels >= 0, logits.dtype)
    return is_known * task_losses(ops.maximum(labels, 0.0), logits)


def expected_task_losses(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes the cross entropies of labels that may be any number from 0 to 1: [B, N]."""
    return labels * ops.softplus(-logits) + (1.0 - labels) * ops.softplus(logits)


def dependence_losses(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes L_D of each row and adjacent pair of tasks (eq. 25, 29).

    L_D,i = (f_{i-1} - f_i - (o_{i-1} - o_i))^2 for i = 2..N.

    Args:
        labels: o, 0 or 1, [B, N].
        logits: Logits of f, [B, N].

    Returns:
        The squares, [B, N - 1].

    Example:
        >>> import numpy as np
        >>> dependence_losses(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])).numpy().tolist()
        [[1.0]]
    """
    error = ops.sigmoid(logits) - labels  # [B, N]
    earlier = error[:, :-1]  # f_{i-1} - o_{i-1}, [B, N - 1]
    later = error[:, 1:]  # f_i - o_i
    return ops.square(earlier - later)


def order_losses(logits: Tensor) -> Tensor:
    """Computes max(f_i - f_{i-1}, 0) of each row and adjacent pair of tasks.

    This is the behavioural expectation calibrator of AITM (Xi et al. 2021).

    Args:
        logits: Logits of f, [B, N].

    Returns:
        [B, N - 1], 0 where a later step is not more likely than the one before.

    Example:
        >>> import numpy as np
        >>> logits = np.array([[-100.0, 0.0, -100.0]])  # f = 0, 1/2, 0
        >>> np.round(order_losses(logits), 4).tolist()
        [[0.5, 0.0]]
    """
    f = ops.sigmoid(logits)
    later = f[:, 1:]
    earlier = f[:, :-1]
    return ops.relu(later - earlier)


def conditional_logs(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Computes log r and log(1 - r) of the conditionals r = min(f_i / f_{i-1}, 1), i = 2..N.

    Args:
        logits: Logits of f, [B, N].

    Returns:
        log r and log(1 - r), [B, N - 1] each; 1 - r is at least `SMALLEST`.

    Example:
        >>> import numpy as np
        >>> log_r, log_not_r = conditional_logs(np.array([[100.0, 0.0]]))  # r = 1/2
        >>> np.round(np.exp(log_r), 4).tolist(), np.round(np.exp(log_not_r), 4).tolist()
        ([[0.5]], [[0.5]])
    """
    log_f = ops.log_sigmoid(logits)  # [B, N]
    log_quotient = log_f[:, 1:] - log_f[:, :-1]  # [B, N - 1]
    log_r = ops.minimum(log_quotient, 0.0)
    not_r = -ops.expm1(log_r)
    not_r = ops.maximum(not_r, SMALLEST)
    return log_r, ops.log(not_r)


def conditional_losses(labels: Tensor, logits: Tensor) -> Tensor:
    """Computes the cross entropy of each step given the one before, over the rows that reached it.

    Args:
        labels: o, 0 or 1, or for an unknown label its expectation, [B, N].
        logits: Logits of f, [B, N].

    Returns:
        o_{i-1} times the cross entropy of o_i and min(f_i / f_{i-1}, 1) for i = 2..N, [B, N - 1].

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[1.0, 0.0, 0.0]]), np.array([[100.0, 0.0, 0.0]])
        >>> np.round(conditional_losses(labels, logits), 4).tolist()  # log 2, and nothing
        [[0.6931, 0.0]]
    """
    log_r, log_not_r = conditional_logs(logits)
    reached = labels[:, :-1]  # o_{i-1}
    passed = labels[:, 1:]  # o_i
    return -passed * log_r - (reached - passed) * log_not_r


@keras.saving.register_keras_serializable("tafe_tf")
class FunnelLoss(keras.losses.Loss):
    """L of eq. 25 for a funnel of any length: sum_i w_i BCE_i + weight * sum_{i >= 2} L_D,i.

    Args:
        task_weights: Weights w_1, ..., w_N of the tasks; all 1 by default.
        dependence_weight: Weight of L_D; 1 by default, as in the paper, and 0 leaves it out. A
            funnel of one step has none.
        order_weight: Weight of the order constraint sum_{i >= 2} max(f_i - f_{i-1}, 0), which is
            AITM's calibrator and has 0.6 there; 0 by default, since TAFE has none.
        may_be_unknown: Whether a label may be unknown, which a negative number says, such as -1;
            false by default. In its place the terms take its expectation given what the row knows,
            see `expected_labels`; a row that knows nothing changes nothing.
        conditional_weight: Weight of the cross entropies of each step given the one before, which
            are those of the rows that reached it (`conditional_losses`); 0 by default, since the
            paper has none. The tasks' weights do not multiply it.
        amount_weight: Weight of the negative log likelihood of the amounts that the last step
            brings, over the rows that have one, see `tafe_tf.log_normal`; None, by default, if
            there are none. For a model that was made with `amount=True`.

    Call arguments:
        y_true: Labels, [B, N], or [B] for one step; columns beyond those of the logits (a schema's
            actions) are not read. With amounts these are the last column: 0 in rows in which the
            last step did not happen, or whose amount is not known.
        y_pred: Logits, [B, N]. With amounts mu and s of their law are the last two columns.
        sample_weight: Weights of the rows, [B], or of each row's steps, [B, N]; all 1 by default. A
            step whose weight is 0 says nothing, whatever its label, as one whose label is unknown.
            L_D and the order constraint weigh a pair of steps by the smaller of both weights, a
            conditional by that of its later step. Columns beyond those of the logits are not read,
            but the last one, which is that of the amounts if there are any.

    Attributes:
        checks_labels: Whether to check the labels, true at first. A training loop whose reader has
            checked them sets it to false.
        balance: What balances the tasks' cross entropies before w weighs them, see
            `tafe_tf.losses.balancing`; None, for nothing, at first. It is no part of the
            configuration: a training loop that learns it sets it.
        delay: How long steps take to be seen; None, for labels that are final, at first. With one,
            `y_true` comes with the ages of its rows (`step_weights.joined`), and all terms but the
            order constraint are of what rows of their age show. A training loop that learns it sets
            it.

    Returns:
        The mean over rows, a scalar. The sum over rows is divided by B whatever their weights, as
        Keras does.

    Raises:
        ValueError: If a label is neither 0 nor 1; see `checked_labels` for what happens inside a
            compiled function. If there is a `delay`, and `y_true` comes without ages. Also if
            the labels have fewer columns than the logits.

    Example:
        >>> import numpy as np
        >>> loss = FunnelLoss(task_weights=[1.0, 2.0], dependence_weight=0.0)
        >>> value = loss(np.array([[1.0, 0.0]]), np.zeros((1, 2)))
        >>> round(float(value), 4)  # 3 log 2
        2.0794
    """

    def __init__(
        self,
        task_weights: Sequence[float] | None = None,
        dependence_weight: float = 1.0,
        order_weight: float = 0.0,
        conditional_weight: float = 0.0,
        may_be_unknown: bool = False,
        amount_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_weights: list[float] | None = None
        if task_weights is not None:
            self.task_weights = [float(weight) for weight in task_weights]
        self.dependence_weight = dependence_weight
        self.order_weight = order_weight
        self.conditional_weight = conditional_weight
        self.may_be_unknown = may_be_unknown
        self.amount_weight = amount_weight
        self.checks_labels = True
        self.balance: Balance | None = None
        self.delay: ExponentialDelay | None = None

    def weights_for(self, n: int) -> list[float]:
        """Returns the tasks' weights w_1, ..., w_N in a funnel of n steps."""
        if self.task_weights is None:
            return [1.0] * n
        return self.task_weights

    def __call__(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor = None,
    ) -> Tensor:
        """Computes the loss of a batch, a scalar: [B, N], [B, N] and [B] -> []."""
        if not isinstance(y_true, dict) and len(y_true.shape) == 1:
            y_true = ops.expand_dims(y_true, -1)
        if sample_weight is not None and len(ops.shape(sample_weight)) == 2:
            y_true = step_weights.joined(y_true, sample_weight)
            sample_weight = None
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """Computes the loss of each row: [B, N], [B, N] -> [B]."""
        if self.amount_weight is None:
            return self.of_funnel(y_true, y_pred)
        targets, weights = step_weights.parted(y_true)
        of_labels = None
        amounts = ops.cast(targets[:, -1], y_pred.dtype)
        of_amounts = log_normal.losses(amounts, y_pred[:, -log_normal.COLUMNS :])  # [B]
        if weights is not None:
            of_labels = weights[:, :-1]
            of_amounts = ops.cast(weights[:, -1], y_pred.dtype) * of_amounts
        labels = step_weights.joined(targets[:, :-1], of_labels, step_weights.ages_of(y_true))
        of_funnel = self.of_funnel(labels, y_pred[:, : -log_normal.COLUMNS])
        return of_funnel + self.amount_weight * of_amounts

    def of_funnel(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """Computes the loss of each row without amounts: [B, N], [B, N] -> [B]."""
        n = y_pred.shape[-1]
        labels, of_steps = step_weights.parted(y_true)
        given = labels.shape[-1]  # None where a graph does not know it
        if given is not None and given < n:
            raise ValueError(
                "`y_true` must have a column for each logit and, if the model has an amount, one "
                "behind them for it, which needs `amount_weight`. "
                f"Received: {given} columns of labels and {n} of logits"
            )
        seen = self.seen_logits(y_pred, step_weights.ages_of(y_true))  # [B, N]
        labels = ops.cast(labels[:, :n], y_pred.dtype)  # o, [B, N]
        if of_steps is not None:
            of_steps = ops.cast(of_steps[:, :n], y_pred.dtype)
        if self.checks_labels:
            labels = checked_labels(labels, may_be_unknown=self.may_be_unknown)
        if self.may_be_unknown:
            of_steps = step_weights.of_known_rows(labels, of_steps)
            labels = expected_labels(labels, seen)
            cross_entropies = expected_task_losses(labels, seen)  # [B, N]
        else:
            cross_entropies = task_losses(labels, seen)
        of_pairs = None
        of_later = None
        if of_steps is not None:
            of_pairs = step_weights.of_pairs(of_steps)  # [B, N - 1]
            of_later = of_steps[:, 1:]
            cross_entropies = of_steps * cross_entropies
        if self.balance is not None:
            cross_entropies = self.balance(cross_entropies)
        weights = self.weights_for(n)
        weights = ops.convert_to_tensor(weights, dtype=cross_entropies.dtype)  # w, [N]
        loss = ops.sum(cross_entropies * weights, axis=-1)  # [B]
        has_pairs = n > 1
        if self.dependence_weight and has_pairs:
            squares = dependence_losses(labels, seen)  # L_D, [B, N - 1]
            dependence = step_weights.weighted_sum(squares, of_pairs)
            loss = loss + self.dependence_weight * dependence
        if self.order_weight and has_pairs:
            excesses = order_losses(y_pred)  # [B, N - 1]
            order = step_weights.weighted_sum(excesses, of_pairs)
            loss = loss + self.order_weight * order
        if self.conditional_weight and has_pairs:
            of_reached = conditional_losses(labels, seen)  # [B, N - 1]
            conditional = step_weights.weighted_sum(of_reached, of_later)
            loss = loss + self.conditional_weight * conditional
        return loss

    def seen_logits(self, logits: Tensor, ages: Tensor | None) -> Tensor:
        """Computes the logits of what rows of their age show; those of f if there is no `delay`.

        Args:
            logits: Logits of f, [B, N].
            ages: How old the rows are in seconds, [B]; None where that does not matter.
        """
        if self.delay is None:
            return logits
        if ages is None:
            raise ValueError("a loss with a `delay` needs the ages of the rows beside their labels")
        return self.delay.seen_logits(logits, ages)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {
            "task_weights": self.task_weights,
            "dependence_weight": self.dependence_weight,
            "order_weight": self.order_weight,
            "conditional_weight": self.conditional_weight,
            "may_be_unknown": self.may_be_unknown,
            "amount_weight": self.amount_weight,
        }
        return {**super().get_config(), **config}
