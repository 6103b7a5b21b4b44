"""Training steps on the workers of ParameterServerStrategy, which do not wait for each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import keras
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.models import FunnelModel
from tafe_tf.training.step_report import StepReport
from tafe_tf.training.sync_steps import SyncSteps


class AsyncSteps:
    """Called as `SyncSteps` is, but every worker makes steps of its own.

    A call hands up to `per_call` batches for each worker to whichever worker is free, and waits for
    all of them. The coordinator reads the files and sends the batches, so that each row is trained
    on once whatever becomes of a worker: the batch of a lost worker goes to another one. A step
    reads the weights as they are by then and adds its own update.

    Args:
        steps: Whose `step` a worker runs.
        model: Whose schedule steps are counted here, where no worker overwrites another's count.
        optimizer: Whose steps are counted here too.
        cluster: The coordinator's.
        per_call: Number of batches for each worker.
    """

    def __init__(
        self,
        steps: SyncSteps,
        model: FunnelModel,
        optimizer: keras.optimizers.Optimizer,
        cluster: Cluster,
        per_call: int,
    ) -> None:
        self._layout = steps.layout
        self._batches = per_call * cluster.stepping
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(cluster.strategy)
        schedule_steps = [schedule.step.value for schedule in model.schedules()]
        self._counts = [optimizer.iterations.value, *schedule_steps]

        def step(batch: Batch) -> tf.Tensor:
            return cluster.strategy.run(steps.step, args=(batch,))

        self._step = tf.function(step, reduce_retracing=True, autograph=False)

    def __call__(
        self,
        iterator: Iterator[Batch],
        most: int | None = None,
    ) -> StepReport:
        """Makes the steps, `most` of them at most if that is given."""
        before = [int(count.numpy()) for count in self._counts]
        sent = []
        batches = self._batches if most is None else min(most, self._batches)
        for batch in itertools.islice(iterator, batches):
            vector = self._coordinator.schedule(self._step, args=(batch,))
            sent.append(vector)
            if not batch.more[0]:
                break
        self._coordinator.join()
        for count, steps_before in zip(self._counts, before, strict=True):
            count.assign(steps_before + len(sent))
        total = self._layout.nothing()
        for vector in sent:
            report = self._layout.unpack(vector.fetch())
            total = self._layout.add(total, report)
        return total
