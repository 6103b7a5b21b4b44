"""Training steps that all replicas make together, several in one tf.function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.losses import FunnelLoss, known_task_losses, step_weights
from tafe_tf.training.balancing import Balancing, means_of_tasks
from tafe_tf.training.delays import Delays
from tafe_tf.training.step_report import ReportLayout, StepReport


class SyncSteps:
    """Makes up to `per_call` steps a call, on all replicas together.

    A call ends early after the last batch of a pass, and after a loss that is not finite.

    Args:
        model: Any model of `tafe_tf.models`.
        optimizer: Built for the model's trainable variables.
        loss: Of labels and of what the model gives in training.
        strategy: Where to run.
        readers: Number of readers of the input.
        per_call: Number of steps, at most.
        balancing: What balances the tasks in the loss and is learned too. Default: None.
        delays: How long steps take to be seen, which the loss has and is learned too. Default:
            None.

    Attributes:
        layout: How a step's report becomes the vector that `step` returns.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: FunnelLoss,
        strategy: tf.distribute.Strategy,
        readers: int,
        per_call: int,
        balancing: Balancing | None = None,
        delays: Delays | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._loss = loss
        self._strategy = strategy
        self._replicas = strategy.num_replicas_in_sync
        self._per_call = per_call
        self._balancing = balancing
        self._delays = delays
        self.layout = ReportLayout(
            num_tasks=model.num_tasks,
            readers=readers,
            replicas=self._replicas,
        )

    def __call__(self, iterator: Any, most: int | None = None) -> StepReport:
        """Makes the steps on the batches of a (distributed) iterator.

        Args:
            iterator: Gives the batches.
            most: Number of steps, at most, if `per_call` is not fewer. Default: None, `per_call`.
        """
        if most is None:
            return self._steps(iterator, self._per_call)
        fewer = min(most, self._per_call)
        return self._steps(iterator, tf.constant(fewer))  # a tensor: traced once for all numbers

    # Nothing here or below is Python that TensorFlow would have to translate, which took seconds.
    @tf.function(reduce_retracing=True, autograph=False)
    def _steps(self, iterator: Any, most: tf.Tensor | int) -> StepReport:
        """Makes `most` steps on the batches of a (distributed) iterator, or fewer."""

        def goes_on(total: StepReport) -> tf.Tensor:
            is_first = total.steps < 0.5
            has_more = total.more > self._replicas - 0.5
            is_finite = tf.reduce_all(total.bad < 0.5)
            return is_first | (has_more & is_finite)

        def one_more(total: StepReport) -> tuple[StepReport]:
            batch = iterator.get_next()
            of_replicas = self._strategy.run(self.step, args=(batch,))
            vector = self._strategy.reduce("SUM", of_replicas, axis=None)
            report = self.layout.unpack(vector)
            return (self.layout.add(total, report),)

        (total,) = tf.while_loop(
            goes_on,
            one_more,
            [self.layout.nothing()],
            maximum_iterations=most,
        )
        return total

    def step(self, batch: Batch) -> tf.Tensor:
        """One step on one replica.

        Returns:
            The step's report as a vector, of which the sum over the replicas is the whole step's.
        """
        num_tasks = self._model.num_tasks
        weights = self._model.trainable_variables
        balancing = self._balancing
        delays = self._delays
        ages = None if delays is None else batch.age
        y_true = step_weights.joined(batch.labels, ages=ages)
        learns_more = balancing is not None or delays is not None
        with tf.GradientTape(persistent=learns_more) as tape:
            logits = self._model(batch.inputs, training=True)
            # The loss is a mean over the global batch. Keras has already divided it by the number
            # of replicas, whose gradients are summed; what layers add to it has to be divided here.
            loss = self._loss(
                y_true,
                logits,
                sample_weight=batch.weight,
            )
            loss += sum(self._model.losses) / self._replicas
            seen = self._loss.seen_logits(logits[:, :num_tasks], ages)
            losses = known_task_losses(batch.labels[:, :num_tasks], seen)  # [B, N]
            if balancing is not None:
                of_tasks = means_of_tasks(batch, losses, self._replicas)
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        self._optimizer.apply(gradients, weights)
        if balancing is not None:
            balancing.update(tape, loss, of_tasks, self._model)
        if delays is not None:
            delays.update(tape, loss)

        report = StepReport(
            steps=1.0 / self._replicas,
            rows=tf.shape(logits)[0],
            loss=loss,
            task_losses=tf.reduce_mean(losses, axis=0) / self._replicas,
            more=batch.more[0],
            position=batch.position,
            bad=self._bad(batch, loss, losses),
        )
        return self.layout.pack(report)

    def _bad(
        self,
        batch: Batch,
        loss: tf.Tensor,
        losses: tf.Tensor,
    ) -> tf.Tensor:
        """`StepReport.bad` with this replica's line alone."""
        wrong = ~tf.math.is_finite(losses)  # [B, N]
        first = tf.argmax(tf.reduce_any(wrong, axis=1))  # the first bad row; row 0 if there is none
        file = tf.cast(batch.file[first], tf.int64) + 1
        place = [file, batch.row[first]]
        wrong_tasks = tf.cast(wrong[first], tf.int64)
        line = tf.concat([place, wrong_tasks], axis=0)
        finite = tf.math.is_finite(loss) & ~tf.reduce_any(wrong)
        line = tf.where(finite, tf.constant(0, tf.int64), line)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        is_mine = tf.one_hot(replica, self._replicas, dtype=tf.int64)
        return is_mine[:, None] * line
