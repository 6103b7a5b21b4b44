"""The tasks' weights in the loss, learned beside the model: what a step does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.losses.balancing import Balance, GradNorm, Uncertainty, rate_entropy
from tafe_tf.models import FunnelModel
from tafe_tf.training.config import TrainingConfig

# The rate of the weights in GradNorm's experiments (Chen et al. 2018, section 5.1).
GRADNORM_RATE = 0.025


class Balancing:
    """A balance of the tasks with the optimizer of its numbers.

    It must be made under the strategy's scope. Its variables belong to a checkpoint: a run that is
    resumed goes on with them.

    Args:
        balance: What weighs the tasks in the loss.
        optimizer: Of the balance's numbers.
    """

    def __init__(self, balance: Balance, optimizer: keras.optimizers.Optimizer) -> None:
        self.balance = balance
        self.optimizer = optimizer
        optimizer.build([balance.numbers])

    @property
    def variables(self) -> list[tf.Variable]:
        """All that a checkpoint must hold."""
        every = [self.balance.numbers, *self.optimizer.variables]
        return [variable.value for variable in every]

    def shown(self, tasks: Sequence[str]) -> str:
        """The tasks' weights as a text.

        Args:
            tasks: The tasks' names, in order.
        """
        weights = keras.ops.convert_to_numpy(self.balance.task_weights())
        pairs = zip(tasks, weights.tolist(), strict=True)
        return ", ".join(f"{task} {weight:.3g}" for task, weight in pairs)

    def update(
        self,
        tape: tf.GradientTape,
        loss: tf.Tensor,
        of_tasks: Sequence[tf.Tensor],
        model: FunnelModel,
    ) -> None:
        """Makes a step of the balance's numbers, on one replica of those that step together.

        Args:
            tape: A persistent one, which has seen the loss computed.
            loss: This replica's part of the mean over the global batch.
            of_tasks: The same of each task's cross entropy, see `means_of_tasks`.
            model: The model whose loss it is.
        """
        numbers = self.balance.numbers
        if isinstance(self.balance, GradNorm):
            squares = [_square_of_gradient(tape, each, model) for each in of_tasks]
            replica = tf.distribute.get_replica_context()
            of_all = tf.stack([tf.stack(squares), tf.stack(of_tasks)])
            squared_norms, losses = tf.unstack(replica.all_reduce("SUM", of_all))
            gradient = self.balance.gradient(losses, tf.sqrt(squared_norms))
            gradient /= replica.num_replicas_in_sync  # the optimizer sums over them
        else:
            gradient = tape.gradient(loss, numbers.value)
        self.optimizer.apply([gradient], [numbers])


def means_of_tasks(
    batch: Batch,
    losses: tf.Tensor,
    replicas: int,
) -> list[tf.Tensor]:
    """This replica's part of each task's mean cross entropy over the global batch.

    Args:
        batch: The replica's rows.
        losses: The cross entropies of their N steps, [B, N].
        replicas: Number of replicas that step together.
    """
    num_tasks = losses.shape[-1]
    weights = batch.weight[:, :num_tasks] if len(batch.weight.shape) == 2 else batch.weight[:, None]
    weighted = losses * weights
    return tf.unstack(tf.reduce_mean(weighted, axis=0) / replicas)


def make(
    config: TrainingConfig,
    tasks: Sequence[str],
    rates: Mapping[str, float],
) -> Balancing | None:
    """The balancing that is asked for; None for none.

    Args:
        config: How the model is trained.
        tasks: The tasks' names, in order.
        rates: Each task's share of positive training rows.
    """
    if config.loss_balancing == "uncertainty":
        of_variances = keras.optimizers.Adam(config.learning_rate)
        return Balancing(Uncertainty(len(tasks)), of_variances)
    if config.loss_balancing == "gradnorm":
        initial_losses = [rate_entropy(rates[task]) for task in tasks]
        balance = GradNorm(initial_losses, config.gradnorm_alpha)
        return Balancing(balance, keras.optimizers.SGD(GRADNORM_RATE))
    return None


def _square_of_gradient(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    model: FunnelModel,
) -> tf.Tensor:
    """The squared norm of a loss's gradient with respect to the rows of the tables that it read.

    All models have these rows, and in all of them the tasks meet there at the latest. A row that
    was read twice counts as two: the gradient is as large as the batch, whatever the table's size.
    """
    tables = [layer.table.value for layer in model.tables()]
    total = tf.constant(0.0)
    for gradient in tape.gradient(loss, tables):
        if gradient is not None:
            read = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
            total += tf.reduce_sum(tf.square(tf.cast(read, tf.float32)))
    return total
