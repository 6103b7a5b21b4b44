"""Training steps, several in one tf.function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tafe_tf.data.dataset import Batch
from tafe_tf.losses import FunnelLoss, task_losses


class Steps:
    """Up to `per_call` steps a call; stops early at the end of the iterator and after a loss that is not finite.

    Called with an iterator of `Batch`es it returns, over the steps it made, their number "steps", "rows", the sum of
    "loss", the sum of "tasks" (the mean cross entropies, [N]) and, of the last one, "position" and "bad": file index
    and row of the first bad row and which of its tasks are bad, [2 + N], or -1.

    Args:
        model: any model of `tafe_tf.models`.
        optimizer: built for the model's trainable variables.
        loss: of labels and what the model gives in training.
        strategy: where to run.
        tasks: N.
        per_call: steps.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: FunnelLoss,
        strategy: tf.distribute.Strategy,
        tasks: int,
        per_call: int,
    ) -> None:
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._strategy, self._tasks, self._per_call = strategy, tasks, per_call

    @tf.function(reduce_retracing=True)
    def __call__(self, iterator: Any) -> dict[str, tf.Tensor]:
        """Makes the steps."""
        total = {
            "steps": tf.zeros([], tf.int32),
            "rows": tf.zeros([], tf.int32),
            "loss": tf.zeros([]),
            "tasks": tf.zeros([self._tasks]),
            "bad": tf.fill([2 + self._tasks], tf.constant(-1, tf.int64)),
            "position": tf.zeros([2], tf.int64),
        }
        for _ in tf.range(self._per_call):
            batch = iterator.get_next_as_optional()
            if not batch.has_value():
                break
            report = self._strategy.run(self._step, args=(batch.get_value(),))
            sums = {name: total[name] + report[name] for name in ("steps", "rows", "loss", "tasks")}
            total = {**sums, "bad": report["bad"], "position": report["position"]}
            if report["bad"][0] >= 0:
                break
        return total

    def _step(self, batch: Batch) -> dict[str, tf.Tensor]:
        weights = self._model.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._model(batch.inputs, training=True)
            loss = self._loss(batch.labels, logits, sample_weight=batch.weight) + sum(self._model.losses)
        self._optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        losses = task_losses(batch.labels[:, : self._tasks], logits[:, : self._tasks])  # [B, N]
        wrong = ~tf.math.is_finite(losses)
        row = tf.argmax(tf.reduce_any(wrong, axis=1))  # the first bad one, or 0
        place = tf.stack([tf.cast(batch.file[row], tf.int64), batch.row[row]])
        bad = tf.concat([place, tf.cast(wrong[row], tf.int64)], axis=0)
        finite = tf.math.is_finite(loss) & ~tf.reduce_any(wrong)
        return {
            "steps": tf.ones([], tf.int32),
            "rows": tf.shape(logits)[0],
            "loss": loss,
            "tasks": tf.reduce_mean(losses, axis=0),
            "bad": tf.where(finite, tf.constant(-1, tf.int64), bad),
            "position": batch.position,
        }
