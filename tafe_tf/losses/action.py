"""ESM2's loss, which learns from the actions between two steps too."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tafe_tf.losses.funnel import FunnelLoss, task_losses
from tafe_tf.losses.label_check import checked_labels
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ActionLoss(FunnelLoss):
    """`FunnelLoss` and the cross entropy of A actions between steps (Wen et al. 2020).

    Args:
        num_tasks: Length of the funnel, N.
        **kwargs: Arguments of `FunnelLoss`.

    Call arguments:
        y_true: Labels, [B, N + A], those of the actions last.
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

    def __init__(self, num_tasks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tasks = num_tasks

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Computes the loss of each row: [B, N + A], [B, N + A] or [B, N] -> [B]."""
        n = self.num_tasks
        columns = y_pred.shape[-1]
        labels = y_true[:, n:columns]  # [B, A], or [B, 0]
        labels = ops.cast(labels, y_pred.dtype)
        if self.checks_labels:
            labels = checked_labels(labels, first=n)
        of_actions = task_losses(labels, y_pred[:, n:])
        of_steps = super().call(y_true, y_pred[:, :n])  # [B]
        return of_steps + ops.sum(of_actions, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_tasks": self.num_tasks}
