"""How long steps take to be seen, learned beside the model: what a step does to it."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tafe_tf import models
from tafe_tf.losses.delays import ExponentialDelay
from tafe_tf.schema import Schema
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.errors import RunError

# Each step moves the logarithm of a rate by about so much: a factor of 10 takes 120 steps.
RATE = 0.02
_DAY = 86_400.0  # seconds


class Delays:
    """A law of delay with the optimizer of its numbers.

    It must be made under the strategy's scope. Its variables belong to a checkpoint: a run that is
    resumed goes on with them, and a warm start begins with them.

    Args:
        delay: The law, which the loss is given.
        optimizer: Of its numbers.
    """

    def __init__(self, delay: ExponentialDelay, optimizer: keras.optimizers.Optimizer) -> None:
        self.delay = delay
        self.optimizer = optimizer
        optimizer.build([delay.numbers])

    @property
    def variables(self) -> list[tf.Variable]:
        """All that a checkpoint must hold."""
        every = [self.delay.numbers, *self.optimizer.variables]
        return [variable.value for variable in every]

    def shown(self, tasks: Sequence[str]) -> str:
        """The mean delay of each step that comes late, as a text.

        Args:
            tasks: The tasks' names, in order.
        """
        means = keras.ops.convert_to_numpy(self.delay.mean_delays()) / _DAY
        found = []
        for task, window, mean in zip(tasks, self.delay.windows, means.tolist(), strict=True):
            if window:
                found.append(f"{task} {mean:.3g} days")
        return ", ".join(found)

    def update(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        """Makes a step of the law's numbers, on one replica of those that step together.

        Args:
            tape: A persistent one, which has seen the loss computed.
            loss: This replica's part of the mean over the global batch.
        """
        numbers = self.delay.numbers
        gradient = tape.gradient(loss, numbers.value)
        self.optimizer.apply([gradient], [numbers])


def make(config: TrainingConfig, schema: Schema) -> Delays | None:
    """The law of delay that is asked for; None for none.

    Args:
        config: How the model is trained.
        schema: Its dataset's, which says when each step's label is final.
    """
    if config.delay_loss == "none":
        return None
    delay = ExponentialDelay([task.maturity for task in schema.tasks])
    return Delays(delay, keras.optimizers.Adam(RATE))


def check(
    config: TrainingConfig,
    schema: Schema,
    model: str,
    has_servers: bool,
) -> None:
    """Refuses a delay loss where it has no meaning or is not right.

    Args:
        config: How the model is trained.
        schema: Its dataset's.
        model: Its name.
        has_servers: Whether it is trained on parameter servers.

    Raises:
        RunError: Naming the rule.
    """
    if config.delay_loss == "none":
        return
    received = f"Received: --delay_loss={config.delay_loss}"
    if not schema.matures:
        rule = "needs a schema with a task that has `matures_after`"
        raise RunError(f"--delay_loss {rule}. {received}")
    if not models.BY_NAME[model].may_learn_delays:
        rule = "corrects labels of steps alone, and this model learns from others as well"
        raise RunError(f"--delay_loss {rule}. {received}, --model={model}")
    if has_servers:
        rule = "must be none on parameter servers, whose workers do not step together"
        raise RunError(f"--delay_loss {rule}. {received}")
