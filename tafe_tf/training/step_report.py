"""What training steps report to the loop, and how a report travels between replicas."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf


class StepReport(NamedTuple):
    """What one step, or several in a row, did on all replicas; N tasks, R readers.

    Attributes:
        steps: Number of steps.
        rows: Number of rows trained on.
        loss: Sum over the steps of the loss.
        task_losses: Sum over the steps of each task's mean cross entropy, [N].
        more: Of the last step, the number of replicas that have another batch.
        position: Of the last step, where each reader stands after it, [R, 2]; see
            `Position.readers`.
        bad: Of the last step, one line a replica, [replicas, 2 + N]: file index and row number,
            both from 1, of the first row whose loss is not finite, and which of its tasks' losses
            are not. All 0 where all are finite.
    """

    steps: tf.Tensor
    rows: tf.Tensor
    loss: tf.Tensor
    task_losses: tf.Tensor
    more: tf.Tensor
    position: tf.Tensor
    bad: tf.Tensor


_SUMMED = ("steps", "rows", "loss", "task_losses")  # the other fields are the last step's


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportLayout:
    """Turns reports into vectors and back.

    A report crosses replicas as one float64 vector, so that a step needs one collective operation
    for it instead of seven, whatever the strategy. Its sum over the replicas is the report of the
    whole step. float64 holds every row number below 2^53 exactly.

    Attributes:
        num_tasks: N.
        readers: R.
        replicas: Number of replicas that train together.
    """

    num_tasks: int
    readers: int
    replicas: int

    @property
    def shapes(self) -> StepReport:
        """The shape of each field."""
        return StepReport(
            steps=(),
            rows=(),
            loss=(),
            task_losses=(self.num_tasks,),
            more=(),
            position=(self.readers, 2),
            bad=(self.replicas, 2 + self.num_tasks),
        )

    def nothing(self) -> StepReport:
        """The report of no step."""
        zeros = [tf.zeros(shape, tf.float64) for shape in self.shapes]
        return StepReport(*zeros)

    def pack(self, report: StepReport) -> tf.Tensor:
        """A report as one vector."""
        flat = [_flat(values) for values in report]
        return tf.concat(flat, axis=0)

    def unpack(self, vector: tf.Tensor) -> StepReport:
        """The report that `pack` made a vector of."""
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = tf.split(vector, sizes)
        fields = zip(parts, self.shapes, strict=True)
        shaped = [tf.reshape(part, shape) for part, shape in fields]
        return StepReport(*shaped)

    def add(self, total: StepReport, step: StepReport) -> StepReport:
        """The report of the steps so far and of one more."""
        sums = {}
        for name in _SUMMED:
            sums[name] = getattr(total, name) + getattr(step, name)
        return step._replace(**sums)


def _flat(values: tf.Tensor) -> tf.Tensor:
    """A field as a float64 vector."""
    as_float64 = tf.cast(values, tf.float64)
    return tf.reshape(as_float64, [-1])
