"""Adam whose cost does not depend on the vocabulary, and a learning rate that falls linearly."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tafe_tf.types import Tensor

# The types of half precision, and how many bits of a float32's fraction they do not have.
_MISSING_BITS = {tf.bfloat16: 16, tf.float16: 13}


@keras.saving.register_keras_serializable("tafe_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls linearly to 0.

    Args:
        rate: Learning rate at the start.
        steps: Number of steps after which it is 0.
        start: The optimizer's step at the start; 0 by default. It is another where the count of
            steps goes on from an earlier run.

    Call arguments:
        step: A step of the optimizer.

    Returns:
        The rate, a float32 scalar.

    Example:
        >>> rate = LinearDecay(0.5, steps=100)
        >>> float(rate(0)), float(rate(50)), float(rate(100)), float(rate(150))
        (0.5, 0.25, 0.0, 0.0)
    """

    def __init__(
        self,
        rate: float,
        steps: int,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.steps = steps
        self.start = start

    def __call__(self, step: Tensor) -> Tensor:
        """Computes the rate at a step."""
        passed = ops.convert_to_tensor(step) - self.start
        share = ops.cast(passed, "float32") / self.steps
        share = ops.clip(share, 0.0, 1.0)
        return self.rate * (1.0 - share)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "rate": self.rate,
            "steps": self.steps,
            "start": self.start,
        }


@dataclasses.dataclass(frozen=True)
class _Step:
    """What a step's updates have in common, whatever the weight: scalars of one type.

    Attributes:
        rate: The learning rate.
        beta_1: Share of the first moment that is kept.
        beta_2: Share of the second moment that is kept.
        epsilon: What is added to the root of the second moment.
        beta_1_power: beta_1 to the power of the step's number, which counts from 1.
        beta_2_power: beta_2 to that power.
    """

    rate: tf.Tensor
    beta_1: tf.Tensor
    beta_2: tf.Tensor
    epsilon: tf.Tensor
    beta_1_power: tf.Tensor
    beta_2_power: tf.Tensor

    def alpha(self) -> tf.Tensor:
        """The learning rate, corrected for the bias of both moments."""
        correction_2 = 1.0 - self.beta_2_power  # of the second moment's bias
        correction_1 = 1.0 - self.beta_1_power
        return self.rate * tf.sqrt(correction_2) / correction_1


@keras.saving.register_keras_serializable("tafe_tf")
class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2014) that updates only those rows of a table that a batch touched.

    A gradient that is `tf.IndexedSlices`, which is what a gather makes, has its duplicate rows
    summed; then the moments and the weights of these rows alone are read and written. Any other
    gradient gets ordinary Adam, in float32 by the one fused operation that TensorFlow has for it.

    The difference from dense Adam: there, a row that the batch did not touch still has its moments
    decayed and still moves along its old momentum. Here it rests. The bias correction counts all
    steps in both. Where every row is touched in each step the two are equal. `weight_decay`, as in
    Keras, goes over the whole table.

    Weights of half precision have float32 moments and are computed in float32; then they are
    rounded up or down by chance, so that the mean is right: rounded to the nearest, steps of less
    than half a unit would all be lost. The draws depend on the step alone, so a run that is resumed
    repeats them. `weight_decay` is rounded to the nearest.

    Args:
        learning_rate: A number or a schedule; 0.001 by default.
        static_shapes: Whether rows that repeat are summed by sorting instead of by a hash table, so
            that all shapes are known and XLA compiles the step, as a TPU needs; False by default.
            Tables of half precision cannot have it.
        **kwargs: Arguments of `keras.optimizers.Adam`, except `amsgrad`, which has no meaning for
            rows at rest.

    Raises:
        ValueError: If `amsgrad` is asked for; in a step, if a weight of half precision meets
            `static_shapes`.

    Example:
        >>> table = keras.Variable([[0.0], [0.0], [0.0]])
        >>> gradient = tf.IndexedSlices(tf.constant([[1.0], [1.0]]), tf.constant([2, 2]))
        >>> LazyAdam(0.5).apply([gradient], [table])
        >>> table.numpy().round(4).tolist()  # the first step of Adam is the learning rate
        [[0.0], [0.0], [-0.5]]
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        *,
        static_shapes: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError("LazyAdam has no `amsgrad`. Received: amsgrad=True")
        super().__init__(learning_rate, **kwargs)
        self.static_shapes = static_shapes
        self._step: _Step | None = None  # of the `apply` that is at work

    def add_variable(
        self,
        *args: Any,
        dtype: Any = None,
        **kwargs: Any,
    ) -> keras.Variable:
        """Makes a variable of the optimizer; moments of half-precision weights are float32."""
        if dtype in ("bfloat16", "float16"):
            dtype = "float32"
        return super().add_variable(*args, dtype=dtype, **kwargs)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Applies gradients; those of half precision become float32 before replicas sum them."""
        wide = []
        for gradient in grads:
            if gradient is not None and gradient.dtype in _MISSING_BITS:
                gradient = tf.cast(gradient, tf.float32)
            wide.append(gradient)
        self._step = self._step_in(tf.float32, self.learning_rate)
        try:
            super().apply(wide, trainable_variables)
        finally:
            self._step = None

    def _step_in(self, dtype: tf.DType, learning_rate: Tensor) -> _Step:
        """What the updates of weights with moments of a type have in common in this step."""
        if self._step is not None and dtype == tf.float32:
            return self._step
        number = tf.cast(self.iterations + 1, dtype)
        beta_1 = tf.constant(self.beta_1, dtype)
        beta_2 = tf.constant(self.beta_2, dtype)
        return _Step(
            rate=tf.cast(learning_rate, dtype),
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            beta_1_power=tf.pow(beta_1, number),
            beta_2_power=tf.pow(beta_2, number),
        )

    def update_step(
        self,
        gradient: Any,
        variable: tf.Variable,
        learning_rate: Tensor,
    ) -> None:
        """Applies one gradient to one variable."""
        is_half = variable.dtype in _MISSING_BITS
        if is_half and self.static_shapes:
            raise ValueError(
                f"`static_shapes` is for weights of full precision. Received: {variable.dtype.name}"
            )
        is_sparse = isinstance(gradient, tf.IndexedSlices)
        if not is_sparse and variable.dtype == tf.float32:
            self._update_at_once(gradient, variable, learning_rate)
            return
        if not is_sparse and not is_half:
            super().update_step(gradient, variable, learning_rate)
            return
        if not is_sparse:
            every_row = tf.range(tf.shape(gradient)[0])
            gradient = tf.IndexedSlices(gradient, every_row)
        rows, change = self._change(gradient, variable, learning_rate)
        if self.static_shapes:
            # Rows may repeat, so each is written as it shall be, and not subtracted from.
            weights = tf.gather(variable, rows) - change
            variable.scatter_update(tf.IndexedSlices(weights, rows))
        elif is_half:
            weights = tf.gather(variable, rows)
            weights = tf.cast(weights, change.dtype) - change
            index = self._get_variable_index(variable)
            step = tf.cast(self.iterations, tf.int32)
            seed = tf.stack([step, index])
            rounded = round_by_chance(weights, variable.dtype, seed)
            variable.scatter_update(tf.IndexedSlices(rounded, rows))
        else:
            variable.scatter_sub(tf.IndexedSlices(change, rows))

    def _update_at_once(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        learning_rate: Tensor,
    ) -> None:
        """Updates all of a float32 weight and its moments, by one operation."""
        index = self._get_variable_index(variable)
        step = self._step_in(tf.float32, learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=step.beta_1_power,
            beta2_power=step.beta_2_power,
            lr=step.rate,
            beta1=step.beta_1,
            beta2=step.beta_2,
            epsilon=step.epsilon,
            grad=gradient,
        )

    def _change(
        self,
        gradient: tf.IndexedSlices,
        variable: tf.Variable,
        learning_rate: Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates the moments of the rows that the gradient names.

        Returns:
            These rows, and what is to be subtracted from their weights.
        """
        index = self._get_variable_index(variable)
        momentum = self._momentums[index].value
        velocity = self._velocities[index].value
        dtype = momentum.dtype
        add = sum_sorted if self.static_shapes else sum_unique
        values = tf.cast(gradient.values, dtype)
        rows, g = add(gradient.indices, values)
        alpha = self._step_in(dtype, learning_rate).alpha()
        m = tf.gather(momentum, rows)
        m += (g - m) * (1.0 - self.beta_1)
        v = tf.gather(velocity, rows)
        v += (tf.square(g) - v) * (1.0 - self.beta_2)
        momentum.scatter_update(tf.IndexedSlices(m, rows))
        velocity.scatter_update(tf.IndexedSlices(v, rows))
        change = alpha * m / (tf.sqrt(v) + self.epsilon)
        return rows, change

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "static_shapes": self.static_shapes,
        }


def sum_unique(rows: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the values of each row: [n], [n, d] -> each row once [m], and its sum [m, d]."""
    unique, place = tf.unique(rows)
    count = tf.size(unique)
    sums = tf.math.unsorted_segment_sum(values, place, count)
    return unique, sums


def sum_sorted(rows: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the values of each row, keeping all shapes.

    Args:
        rows: [n].
        values: [n, d].

    Returns:
        The rows sorted, as often as they came, [n], each time with the sum of all their values,
        [n, d].
    """
    order = tf.argsort(rows, stable=True)
    rows = tf.gather(rows, order)
    first = tf.zeros_like(rows[:1])
    is_next = tf.cast(rows[1:] != rows[:-1], rows.dtype)
    steps = tf.concat([first, is_next], axis=0)  # 1 where another row begins, [n]
    place = tf.cumsum(steps)  # of each among the different rows, [n]
    values = tf.gather(values, order)
    count = tf.size(rows)
    sums = tf.math.unsorted_segment_sum(values, place, count)
    return rows, tf.gather(sums, place)


def round_by_chance(
    x: tf.Tensor,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Rounds float32 to half precision, up or down with the chances that make the mean x.

    Float16 below 6e-5, where it has fewer bits, is rounded to the nearest.

    Args:
        x: float32 numbers of any shape.
        dtype: Type of the result, bfloat16 or float16.
        seed: int32 [2].

    Example:
        >>> x = tf.fill([1000], 1.0 + 1 / 512)  # a quarter of the way from 1 to the next bfloat16
        >>> rounded = round_by_chance(x, tf.bfloat16, seed=[0, 0])
        >>> sorted(set(rounded.numpy().tolist()))
        [1.0, 1.0078125]
    """
    # A float's bits, read as an integer, are in the order of its magnitudes.
    unit = 1 << _MISSING_BITS[dtype]
    up = tf.random.stateless_uniform(
        tf.shape(x),
        seed,
        minval=0,
        maxval=unit,
        dtype=tf.int32,
    )
    bits = tf.bitcast(x, tf.int32) + up
    bits = bits & -unit  # the missing bits are 0
    rounded = tf.bitcast(bits, tf.float32)
    return tf.cast(rounded, dtype)
