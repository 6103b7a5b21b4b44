"""Adam whose cost does not depend on the vocabulary."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("tafe_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls linearly to 0.

    Args:
        rate: at the start.
        steps: until it is 0.
        start: the optimizer's step at the start; not 0 where its count goes on from an earlier run.
    """

    def __init__(self, rate: float, steps: int, start: int = 0) -> None:
        super().__init__()
        self.rate, self.steps, self.start = rate, steps, start

    def __call__(self, step: Any) -> Any:
        """The rate at a step of the optimizer."""
        passed = ops.cast(ops.convert_to_tensor(step) - self.start, "float32") / self.steps
        return self.rate * (1.0 - ops.clip(passed, 0.0, 1.0))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"rate": self.rate, "steps": self.steps, "start": self.start}


@keras.saving.register_keras_serializable("tafe_tf")
class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2014) that updates only the rows of an embedding table which the batch touched.

    A gradient that is `tf.IndexedSlices` (what a gather makes) has its duplicate rows summed; then the moments
    and the weights of these rows alone are read and written. Any other gradient gets ordinary Adam.

    The difference from dense Adam: there, a row that the batch did not touch still has its moments decayed and
    still moves along its old momentum. Here it rests. The bias correction counts all steps in both. Where every
    row is touched in each step the two are equal. `weight_decay`, as in Keras, goes over the whole table.

    Args:
        learning_rate: a number or a schedule.
        **kwargs: as of `keras.optimizers.Adam`, without `amsgrad`, which rows at rest leave without a meaning.
    """

    def __init__(self, learning_rate: Any = 0.001, **kwargs: Any) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError("LazyAdam has no `amsgrad`. Received: amsgrad=True")
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Applies one gradient to one variable."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        rows, place = tf.unique(gradient.indices)
        g = tf.math.unsorted_segment_sum(tf.cast(gradient.values, variable.dtype), place, tf.size(rows))
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        alpha = rate * tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        m = tf.gather(momentum, rows)
        m += (g - m) * (1.0 - self.beta_1)
        v = tf.gather(velocity, rows)
        v += (tf.square(g) - v) * (1.0 - self.beta_2)
        momentum.scatter_update(tf.IndexedSlices(m, rows))
        velocity.scatter_update(tf.IndexedSlices(v, rows))
        variable.scatter_sub(tf.IndexedSlices(alpha * m / (tf.sqrt(v) + self.epsilon), rows))
