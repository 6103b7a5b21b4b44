"""The loss of ESM2 and HM3, which learns from the actions between two steps too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.losses import step_weights
from tafe_tf.losses.funnel import FunnelLoss, expected_task_losses, task_losses
from tafe_tf.losses.label_check import checked_labels
from tafe_tf.metrics import SMALLEST
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ActionLoss(FunnelLoss):
    """`FunnelLoss` and the cross entropy of A actions between steps (Wen et al. 2020, 2021).

    Args:
        num_tasks: Length of the funnel, N.
        columns: Which of the actions in `y_true` the model has logits of, from 0, A of them; by
            default all, in order.
        **kwargs: Arguments of `FunnelLoss`.

    Call arguments:
        y_true: Labels, [B, N + A] or with more actions, those of the actions last.
        y_pred: Logits, [B, N + A], as the model gives them in training; or [B, N], as in
            evaluation, of which it is `FunnelLoss` alone.
        sample_weight: Weights of the rows, [B]; all 1 by default.

    Returns:
        The mean over rows, a scalar.

    Example:
        >>> import numpy as np
        >>> loss = ActionLoss(2, dependence_weight=0.0)
        >>> labels = np.array([[1.0, 0.0, 1.0]])
        >>> round(float(loss(labels, np.zeros((1, 3)))), 4)  # 3 log 2
        2.0794
        >>> round(float(loss(labels, np.zeros((1, 2)))), 4)  # without the action, 2 log 2
        1.3863
    """

    def __init__(
        self,
        num_tasks: int,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = num_tasks
        self.columns = None if columns is None else list(columns)

    def of_funnel(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """Computes the loss of each row: [B, N + A], [B, N + A] or [B, N] -> [B]."""
        n = self.num_tasks
        all_labels, all_weights = step_weights.parted(y_true)
        labels = self._of_actions(all_labels, y_pred)  # [B, A], or [B, 0]
        if self.checks_labels:
            labels = checked_labels(labels, first=n, may_be_unknown=self.may_be_unknown)
        if self.may_be_unknown:
            labels = self._expected(labels, all_labels[:, :n], y_pred)
            of_actions = expected_task_losses(labels, y_pred[:, n:])
        else:
            of_actions = task_losses(labels, y_pred[:, n:])
        if all_weights is not None:
            of_actions = self._of_actions(all_weights, y_pred) * of_actions
        of_steps = super().of_funnel(y_true, y_pred[:, :n])  # [B]
        return of_steps + ops.sum(of_actions, axis=-1)

    def _expected(self, labels: Tensor, of_steps: Tensor, y_pred: Tensor) -> Tensor:
        """Replaces actions that are unknown by P(action = 1 | the steps that happened): [B, A].

        That is g / f_a for a row that reached a steps, where g is the action's own probability. No
        gradient flows through it. What is known of later steps is not used.
        """
        n = self.num_tasks
        probabilities = ops.sigmoid(ops.stop_gradient(y_pred))
        always = ops.ones_like(probabilities[:, :1])  # f_0
        with_start = ops.concatenate([always, probabilities[:, :n]], axis=1)
        ones = ops.sum(ops.cast(of_steps > 0, "int32"), axis=1, keepdims=True)
        reached = ops.take_along_axis(with_start, ones, axis=1)  # f_a, [B, 1]
        expected = probabilities[:, n:] / ops.maximum(reached, SMALLEST)
        return ops.where(labels < 0, ops.minimum(expected, 1.0), labels)

    def _of_actions(self, columns: Tensor, y_pred: Tensor) -> Tensor:
        """Takes the columns of the actions that the model predicts: [B, N + A'] -> [B, A]."""
        n = self.num_tasks
        count = y_pred.shape[-1] - n  # A, or 0
        if self.columns is not None and count:
            places = [n + column for column in self.columns]
            taken = ops.take(columns, places, axis=1)
        else:
            taken = columns[:, n : n + count]
        return ops.cast(taken, y_pred.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {"num_tasks": self.num_tasks, "columns": self.columns}
        return {**super().get_config(), **own}
