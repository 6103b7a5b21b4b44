"""Adam whose cost does not depend on the vocabulary."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

_LACKING = {tf.bfloat16: 16, tf.float16: 13}  # bits of a float32's fraction that they do not have


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

    Weights of half precision have float32 moments and are computed in float32; then they are rounded up or down by
    chance, so that the mean is right: rounded to the nearest, steps of less than half a unit would all be lost. The
    draws depend on the step alone, so a run that goes on repeats them. `weight_decay` is rounded to the nearest.

    Args:
        learning_rate: a number or a schedule.
        static_shapes: sum the rows that repeat by sorting instead of by a hash table, so that all shapes are known and
            XLA compiles the step, as a TPU needs; not for tables of half precision.
        **kwargs: as of `keras.optimizers.Adam`, without `amsgrad`, which rows at rest leave without a meaning.
    """

    def __init__(
        self, learning_rate: Any = 0.001, *, static_shapes: bool = False, **kwargs: Any
    ) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError("LazyAdam has no `amsgrad`. Received: amsgrad=True")
        super().__init__(learning_rate, **kwargs)
        self.static_shapes = static_shapes

    def add_variable(self, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A variable of the optimizer's own; what follows weights of half precision is float32."""
        return super().add_variable(
            *args, dtype="float32" if dtype in ("bfloat16", "float16") else dtype, **kwargs
        )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Applies gradients; those of half precision become float32 before replicas sum them."""
        grads = [
            tf.cast(g, tf.float32) if g is not None and g.dtype in _LACKING else g for g in grads
        ]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Applies one gradient to one variable.

        Raises:
            ValueError: with `static_shapes`, if the variable is of half precision.
        """
        if variable.dtype in _LACKING and self.static_shapes:
            raise ValueError(
                f"`static_shapes` is for weights of full precision. Received: {variable.dtype.name}"
            )
        if variable.dtype in _LACKING and not isinstance(gradient, tf.IndexedSlices):
            gradient = tf.IndexedSlices(gradient, tf.range(tf.shape(gradient)[0]))
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        add = sum_sorted if self.static_shapes else sum_unique
        rows, g = add(gradient.indices, tf.cast(gradient.values, momentum.dtype))
        step = tf.cast(self.iterations + 1, momentum.dtype)
        rate = tf.cast(learning_rate, momentum.dtype)
        beta_1, beta_2 = (tf.constant(beta, momentum.dtype) for beta in (self.beta_1, self.beta_2))
        alpha = rate * tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        m = tf.gather(momentum, rows)
        m += (g - m) * (1.0 - self.beta_1)
        v = tf.gather(velocity, rows)
        v += (tf.square(g) - v) * (1.0 - self.beta_2)
        momentum.scatter_update(tf.IndexedSlices(m, rows))
        velocity.scatter_update(tf.IndexedSlices(v, rows))
        change = alpha * m / (tf.sqrt(v) + self.epsilon)
        if self.static_shapes:  # rows may repeat: each of them is written as it shall be
            variable.scatter_update(tf.IndexedSlices(tf.gather(variable, rows) - change, rows))
            return
        if variable.dtype not in _LACKING:
            variable.scatter_sub(tf.IndexedSlices(change, rows))
            return
        weights = tf.cast(tf.gather(variable, rows), change.dtype) - change
        seed = tf.stack([tf.cast(self.iterations, tf.int32), index])
        variable.scatter_update(
            tf.IndexedSlices(round_by_chance(weights, variable.dtype, seed), rows)
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "static_shapes": self.static_shapes}


def sum_unique(rows: Any, values: Any) -> tuple[Any, Any]:
    """Each row once, and the sum of its values: [n], [n, d] -> [m], [m, d]."""
    unique, place = tf.unique(rows)
    return unique, tf.math.unsorted_segment_sum(values, place, tf.size(unique))


def sum_sorted(rows: Any, values: Any) -> tuple[Any, Any]:
    """Rows sorted, as often as they come, each time with the sum of all their values: [n], [n, d] -> [n], [n, d]."""
    order = tf.argsort(rows, stable=True)
    rows = tf.gather(rows, order)
    is_next = tf.concat(
        [tf.zeros_like(rows[:1]), tf.cast(rows[1:] != rows[:-1], rows.dtype)], axis=0
    )
    place = tf.cumsum(is_next)
    sums = tf.math.unsorted_segment_sum(tf.gather(values, order), place, tf.size(rows))
    return rows, tf.gather(sums, place)


def round_by_chance(x: Any, dtype: tf.DType, seed: Any) -> tf.Tensor:
    """Float32 rounded to bfloat16 or float16, up or down with the chances that make the mean x.

    Float16 below 6e-5, where it has fewer bits, is rounded to the nearest.

    Args:
        x: any shape.
        dtype: of the result.
        seed: int32 [2].
    """
    unit = 1 << _LACKING[dtype]  # bits of a float as an integer are in the order of its magnitudes
    up = tf.random.stateless_uniform(tf.shape(x), seed, 0, unit, tf.int32)
    return tf.cast(tf.bitcast((tf.bitcast(x, tf.int32) + up) & -unit, tf.float32), dtype)
