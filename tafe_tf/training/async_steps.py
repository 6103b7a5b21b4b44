"""Training steps on the workers of ParameterServerStrategy, which do not wait for each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import keras
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.models import FunnelModel
from tafe_tf.training.sync_steps import Steps


class ScheduledSteps:
    """Called as `Steps` is: hands up to `per_call` batches a worker to whichever is free, and waits for all of them.

    The coordinator reads the files and sends the batches, so each row is trained on once whatever becomes of a worker:
    the batch of a lost one goes to another. A step reads the weights as they are by then and adds its own update.

    Args:
        steps: whose `step` a worker runs.
        model: whose steps are counted here, where no worker overwrites another's count.
        optimizer: the same.
        cluster: the coordinator's.
        per_call: batches a worker.
    """

    def __init__(
        self,
        steps: Steps,
        model: FunnelModel,
        optimizer: keras.optimizers.Optimizer,
        cluster: Cluster,
        per_call: int,
    ) -> None:
        self._steps, self._batches = steps, per_call * cluster.stepping
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(cluster.strategy)
        self._counts = [
            optimizer.iterations.value,
            *(schedule.step.value for schedule in model.schedules()),
        ]
        self._step = tf.function(
            lambda batch: cluster.strategy.run(steps.step, args=(batch,)), reduce_retracing=True
        )

    def __call__(self, iterator: Iterator[Batch]) -> dict[str, tf.Tensor]:
        """Makes the steps."""
        before, sent = [int(count.numpy()) for count in self._counts], []
        for batch in itertools.islice(iterator, self._batches):
            sent.append(self._coordinator.schedule(self._step, args=(batch,)))
            if not batch.more[0]:
                break
        self._coordinator.join()
        for count, n in zip(self._counts, before, strict=True):
            count.assign(n + len(sent))
        total = self._steps.nothing()
        for report in sent:
            total = self._steps.add(total, report.fetch())
        return total
