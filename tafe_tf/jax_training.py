"""Training on JAX, in functions of their state: it needs KERAS_BACKEND=jax and no TensorFlow.

    optimizer = LazyAdam(1e-3)
    state = State.of(model, optimizer)
    step = jax.jit(training_step(model, optimizer, model.paper_loss()), donate_argnums=0)
    for ids, labels in batches:
        state, loss = step(state, ids, labels)
    state.assign_to(model, optimizer)

On several devices, put the state on all of them (`NamedSharding(mesh, PartitionSpec())`), cut each
batch between them, and give `jax.jit` the state's sharding as `out_shardings`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from tafe_tf.layers import FusedEmbedding
from tafe_tf.losses import FunnelLoss
from tafe_tf.models import FunnelModel
from tafe_tf.types import Inputs

Step = Callable[..., tuple["State", jax.Array]]


class RowGradients(NamedTuple):
    """The gradient of a table, as that of the rows which were read.

    Attributes:
        rows: Rows of the table, [n], each as often as it was read.
        values: Their gradients, [n, d].

    Example:
        >>> gradient = RowGradients(jnp.array([2, 0, 2]), jnp.array([[1.0], [5.0], [1.0]]))
        >>> rows, values = gradient.summed(size=4)
        >>> rows.tolist(), values.tolist()
        ([0, 2, 6], [[5.0], [2.0], [0.0]])
    """

    rows: jax.Array
    values: jax.Array

    def summed(self, size: int) -> RowGradients:
        """Sums the gradients of each row.

        Args:
            size: Number of rows of the table.

        Returns:
            As many entries, each row of the table once and in order; what is left over has rows
            from `size` on.
        """
        n = len(self.rows)
        order = jnp.argsort(self.rows)
        ranked = self.rows[order]
        is_next = jnp.diff(ranked, prepend=ranked[:1]) != 0
        place = jnp.cumsum(is_next)  # of each read among the different rows, [n]
        values = jax.ops.segment_sum(
            self.values[order],
            place,
            num_segments=n,
            indices_are_sorted=True,
        )
        left_over = size + jnp.arange(n, dtype=ranked.dtype)
        rows = left_over.at[place].set(ranked)
        return RowGradients(rows, values)


class LazyAdam(keras.optimizers.Adam):
    """`tafe_tf.optimizers.LazyAdam` for JAX.

    A `RowGradients` reads and writes the rows that it names, once each. Any other gradient gets
    ordinary Adam. Given the same gradients, both optimizers end with the same weights and moments;
    their variables have one order, so that each can go on from the other's.

    Args:
        learning_rate: A number or a schedule; 0.001 by default.
        beta_1: Decay of the first moment per step; 0.9 by default.
        beta_2: Decay of the second moment per step; 0.999 by default.
        epsilon: Number added to the square root of the second moment; 1e-7 by default.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name="lazy_adam")

    def update_step(
        self,
        gradient: Any,
        variable: keras.Variable,
        learning_rate: Any,
    ) -> None:
        """Applies one gradient to one variable."""
        if not isinstance(gradient, RowGradients):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        rows, g = gradient.summed(variable.shape[0])
        g = jnp.asarray(g, dtype)
        weight_rows = _Rows(variable, rows)
        momentum_rows = _Rows(self._momentums[index], rows)
        velocity_rows = _Rows(self._velocities[index], rows)
        w = weight_rows.read()
        m = momentum_rows.read()
        v = velocity_rows.read()
        rate = jnp.asarray(learning_rate, dtype)
        beta_1 = jnp.asarray(self.beta_1, dtype)
        beta_2 = jnp.asarray(self.beta_2, dtype)
        step = jnp.asarray(self.iterations.value + 1, dtype)
        correction_2 = 1.0 - beta_2**step  # of the second moment's bias
        correction_1 = 1.0 - beta_1**step
        alpha = rate * jnp.sqrt(correction_2) / correction_1
        m += (g - m) * (1.0 - self.beta_1)
        v += (jnp.square(g) - v) * (1.0 - self.beta_2)
        w -= alpha * m / (jnp.sqrt(v) + self.epsilon)
        weight_rows.write(w)
        momentum_rows.write(m)
        velocity_rows.write(v)


class _Rows:
    """Some rows of a variable, in order and each once; those beyond its end are not there."""

    def __init__(self, variable: keras.Variable, rows: jax.Array) -> None:
        self._variable = variable
        self._place = variable.value.at[rows]

    def read(self) -> jax.Array:
        return self._place.get(
            mode="fill",
            fill_value=0,
            indices_are_sorted=True,
            unique_indices=True,
        )

    def write(self, values: jax.Array) -> None:
        changed = self._place.set(
            values,
            mode="drop",
            indices_are_sorted=True,
            unique_indices=True,
        )
        self._variable.assign(changed)


class State(NamedTuple):
    """What a step changes, as `model.stateless_call` and `optimizer.stateless_apply` take it.

    Attributes:
        weights: Values of the model's trainable variables.
        others: Values of its other variables, such as the step of gamma's schedule and the seeds of
            dropout.
        moments: Values of the optimizer's variables.
    """

    weights: list[jax.Array]
    others: list[jax.Array]
    moments: list[jax.Array]

    @classmethod
    def of(cls, model: FunnelModel, optimizer: LazyAdam) -> State:
        """Builds the optimizer, and returns a copy of the values that a step may overwrite."""
        optimizer.build(model.trainable_variables)
        copies = []
        for part in _variables(model, optimizer):
            values = [jnp.array(variable.value) for variable in part]
            copies.append(values)
        return cls(*copies)

    def assign_to(self, model: FunnelModel, optimizer: LazyAdam) -> None:
        """Gives the variables a copy of these values."""
        variables = _variables(model, optimizer)
        for part, values in zip(variables, self, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(jnp.array(value))


def training_step(
    model: FunnelModel,
    optimizer: LazyAdam,
    loss: FunnelLoss,
) -> Step:
    """Makes a step of training as a pure function, to be jitted.

    The gradient of an embedding table is taken with respect to the rows [B, S, d] that the batch
    reads, so that no array of a step but the tables and their moments has the vocabulary's size;
    donated, these are updated in place. A table in several parts is as good as in one.

    Args:
        model: Any model of `tafe_tf.models`; inputs are its own.
        optimizer: The one that the state is of.
        loss: A loss of the labels and of what the model gives in training.

    Returns:
        A function (state, inputs, labels, weight=None) -> (the next state, the loss before it),
        where `weight` are the rows' weights, [B], or those of each row's steps. A label other than
        0 and 1 makes the loss NaN.

    Raises:
        ValueError: If a table is kept in half precision, whose rounding by chance is TensorFlow's
            alone. If the loss has a delay to learn, which `State` does not hold.
    """
    if loss.delay is not None:
        raise ValueError("on JAX a loss must have no `delay`, which only a TensorFlow job learns")
    is_trained = [embedding.table.trainable for embedding in model.tables()]
    embeddings = list(itertools.compress(model.tables(), is_trained))
    types = {embedding.table.dtype for embedding in embeddings}
    half = types & {"bfloat16", "float16"}
    if half:
        raise ValueError(f"on JAX a table must be float32. Received: embedding_dtype={min(half)!r}")
    place = {}
    for i, variable in enumerate(model.trainable_variables):
        place[id(variable)] = i
    tables = [place[id(embedding.table)] for embedding in embeddings]

    def step(
        state: State,
        inputs: Inputs,
        labels: jax.Array,
        weight: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        of_all = model.rows_read(inputs)  # [B, S] of each table
        rows = list(itertools.compress(of_all, is_trained))
        dense: list[jax.Array | None] = list(state.weights)
        read = []
        for i, rows_of_table in zip(tables, rows, strict=True):
            h = jnp.take(state.weights[i], rows_of_table, axis=0)  # [B, S, d]
            read.append(h)
            dense[i] = None

        def total(
            dense: list[jax.Array | None],
            read: list[jax.Array],
        ) -> tuple[jax.Array, list[jax.Array]]:
            """Returns the loss, and the other variables after the step."""
            weights = list(dense)
            for i in tables:
                weights[i] = state.weights[i]  # of its rows the model is given `read`
            with _reading(embeddings, read):
                logits, others, further = model.stateless_call(
                    weights,
                    state.others,
                    inputs,
                    training=True,
                    return_losses=True,
                )
            of_labels = loss(labels, logits, sample_weight=weight)
            return of_labels + sum(further), others

        gradients_of = jax.value_and_grad(
            total,
            argnums=(0, 1),
            has_aux=True,
        )
        (value, others), (gradients, of_read) = gradients_of(dense, read)
        for i, rows_of_table, values in zip(tables, rows, of_read, strict=True):
            d = values.shape[-1]
            gradients[i] = RowGradients(
                rows=rows_of_table.reshape(-1),
                values=values.reshape(-1, d),
            )
        weights, moments = optimizer.stateless_apply(
            state.moments,
            gradients,
            state.weights,
        )
        return State(weights, others, moments), value

    return step


def _variables(model: FunnelModel, optimizer: LazyAdam) -> tuple[Sequence[keras.Variable], ...]:
    """Returns the variables in the order of `State`."""
    return model.trainable_variables, model.non_trainable_variables, optimizer.variables


@contextlib.contextmanager
def _reading(embeddings: Sequence[FusedEmbedding], read: Sequence[jax.Array]) -> Iterator[None]:
    """Lets each embedding give what was read for it, instead of reading its table."""
    for embedding, values in zip(embeddings, read, strict=True):
        embedding.reader = lambda rows, values=values: values
    try:
        yield
    finally:
        for embedding in embeddings:
            embedding.reader = None
