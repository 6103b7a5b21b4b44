"""Training steps, several in one tf.function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.losses import FunnelLoss, task_losses


class Steps:
    """Up to `per_call` steps a call; stops early after a pass's last batch and after a loss that is not finite.

    Called with an iterator of `Batch`es it returns, over the steps it made on all replicas, their number "steps",
    "rows", the sum of "loss", the sum of "tasks" (the mean cross entropies, [N]) and, of the last one, "more" (replicas
    that have another batch), "position" [readers, 2] and "bad", a row for each replica: file index and row of its
    first bad row, from 1, and which of its tasks are bad, [replicas, 2 + N], or 0.

    Args:
        model: any model of `tafe_tf.models`.
        optimizer: built for the model's trainable variables.
        loss: of labels and what the model gives in training.
        strategy: where to run.
        readers: of the input.
        per_call: steps.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: FunnelLoss,
        strategy: tf.distribute.Strategy,
        readers: int,
        per_call: int,
    ) -> None:
        self._model, self._optimizer, self._loss = model, optimizer, loss
        self._strategy, self._per_call = strategy, per_call
        n, replicas = model.num_tasks, strategy.num_replicas_in_sync
        sums = {"steps": [], "rows": [], "loss": [], "tasks": [n]}
        last = {"more": [], "position": [readers, 2], "bad": [replicas, 2 + n]}
        self._shapes: dict[str, list[int]] = {**sums, **last}
        self._added = list(sums)

    @tf.function(reduce_retracing=True)
    def __call__(self, iterator: Any) -> dict[str, tf.Tensor]:
        """Makes the steps."""
        total = self.nothing()
        for _ in tf.range(self._per_call):
            packed = self._strategy.run(self.step, args=(iterator.get_next(),))
            total = self.add(total, self._strategy.reduce("SUM", packed, axis=None))
            if total["more"] < self._strategy.num_replicas_in_sync or tf.reduce_any(
                total["bad"] > 0
            ):
                break
        return total

    def nothing(self) -> dict[str, tf.Tensor]:
        """The report of no step."""
        return {name: tf.zeros(shape, tf.float64) for name, shape in self._shapes.items()}

    def step(self, batch: Batch) -> tf.Tensor:
        """One step on one replica; its report, packed into one vector whose sum over replicas is the whole step's."""
        weights, n = self._model.trainable_variables, self._model.num_tasks
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replicas = self._strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            logits = self._model(batch.inputs, training=True)
            loss = self._loss(
                batch.labels, logits, sample_weight=batch.weight
            )  # over the replicas, as Keras has it
            loss += sum(self._model.losses) / replicas
        self._optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        losses = task_losses(batch.labels[:, :n], logits[:, :n])  # [B, N]
        wrong = ~tf.math.is_finite(losses)
        row = tf.argmax(tf.reduce_any(wrong, axis=1))  # the first bad one, or 0
        place = tf.stack([tf.cast(batch.file[row], tf.int64) + 1, batch.row[row]])
        finite = tf.math.is_finite(loss) & ~tf.reduce_any(wrong)
        bad = tf.where(
            finite,
            tf.constant(0, tf.int64),
            tf.concat([place, tf.cast(wrong[row], tf.int64)], axis=0),
        )
        report = {
            "steps": 1.0 / replicas,
            "rows": tf.shape(logits)[0],
            "loss": loss,
            "tasks": tf.reduce_mean(losses, axis=0) / replicas,
            "more": batch.more[0],
            "position": batch.position,
            "bad": tf.one_hot(replica, replicas, dtype=tf.int64)[:, None] * bad,
        }
        return tf.concat(
            [tf.reshape(tf.cast(report[name], tf.float64), [-1]) for name in self._shapes], axis=0
        )

    def add(self, total: dict[str, tf.Tensor], packed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The report of the steps so far and of one more, from that one's vector."""
        shapes = {name: tf.TensorShape(shape) for name, shape in self._shapes.items()}
        parts = tf.split(packed, [shape.num_elements() for shape in shapes.values()])
        report = {
            name: tf.reshape(part, shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
        return {**report, **{name: total[name] + report[name] for name in self._added}}
