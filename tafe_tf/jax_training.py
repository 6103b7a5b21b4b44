"""Training on JAX, in functions of their state: needs KERAS_BACKEND=jax, and no TensorFlow.

    optimizer = LazyAdam(1e-3)
    state = State.of(model, optimizer)
    step = jax.jit(training_step(model, optimizer, model.paper_loss()), donate_argnums=0)
    for ids, labels in batches:
        state, loss = step(state, ids, labels)
    state.assign_to(model, optimizer)

On several devices, put the state on all (`NamedSharding(mesh, PartitionSpec())`), cut each batch between them, and give
`jax.jit` the state's sharding as `out_shardings`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from tafe_tf.layers import FusedEmbedding
from tafe_tf.losses import FunnelLoss

Step = Callable[..., tuple["State", jax.Array]]


class RowGradients(NamedTuple):
    """The gradient of a table as that of the rows which were read.

    Attributes:
        rows: [n], a row as often as it was read.
        values: [n, d].
    """

    rows: jax.Array
    values: jax.Array

    def summed(self, size: int) -> RowGradients:
        """The same with each row of the table once, in order; n stays, and what is left over has rows from `size` on.

        Args:
            size: rows of the table.
        """
        n = len(self.rows)
        order = jnp.argsort(self.rows)
        ranked = self.rows[order]
        place = jnp.cumsum(
            jnp.diff(ranked, prepend=ranked[:1]) != 0
        )  # [n], of each read among the rows
        values = jax.ops.segment_sum(self.values[order], place, n, indices_are_sorted=True)
        return RowGradients(
            (size + jnp.arange(n, dtype=ranked.dtype)).at[place].set(ranked), values
        )


class LazyAdam(keras.optimizers.Adam):
    """`tafe_tf.optimizers.LazyAdam` for JAX: a `RowGradients` reads and writes the rows that it names, once each.

    Any other gradient gets ordinary Adam. Where both get the same gradients, weights and moments are the same; the
    optimizers' variables have one order, so that each can go on from the other's.

    Args:
        learning_rate: a number or a schedule.
        beta_1, beta_2, epsilon: as of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name="lazy_adam")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Applies one gradient to one variable."""
        if not isinstance(gradient, RowGradients):
            super().update_step(gradient, variable, learning_rate)
            return
        index, dtype = self._get_variable_index(variable), variable.dtype
        parts = (variable, self._momentums[index], self._velocities[index])
        rows, g = gradient.summed(variable.shape[0])
        g = jnp.asarray(g, dtype)
        places = [part.value.at[rows] for part in parts]
        once = {"indices_are_sorted": True, "unique_indices": True}
        w, m, v = (place.get(mode="fill", fill_value=0, **once) for place in places)
        beta_1, beta_2, rate = (
            jnp.asarray(x, dtype) for x in (self.beta_1, self.beta_2, learning_rate)
        )
        step = jnp.asarray(self.iterations.value + 1, dtype)
        alpha = rate * jnp.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
        m += (g - m) * (1.0 - self.beta_1)
        v += (jnp.square(g) - v) * (1.0 - self.beta_2)
        w -= alpha * m / (jnp.sqrt(v) + self.epsilon)
        for part, place, values in zip(parts, places, (w, m, v), strict=True):
            part.assign(place.set(values, mode="drop", **once))


class State(NamedTuple):
    """What a step changes, as `model.stateless_call` and `optimizer.stateless_apply` take it.

    Attributes:
        weights: of the model's trainable variables.
        others: of its other variables: the step of gamma's schedule, the seeds of dropout.
        moments: of the optimizer's variables.
    """

    weights: list[jax.Array]
    others: list[jax.Array]
    moments: list[jax.Array]

    @classmethod
    def of(cls, model: keras.Model, optimizer: LazyAdam) -> State:
        """A copy of the present values, which a step may overwrite; builds the optimizer."""
        optimizer.build(model.trainable_variables)
        return cls(
            *(
                [jnp.array(variable.value) for variable in part]
                for part in _variables(model, optimizer)
            )
        )

    def assign_to(self, model: keras.Model, optimizer: LazyAdam) -> None:
        """Gives the variables a copy of these values."""
        for part, values in zip(_variables(model, optimizer), self, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(jnp.array(value))


def training_step(model: keras.Model, optimizer: LazyAdam, loss: FunnelLoss) -> Step:
    """A pure function (state, inputs, labels, weight=None) -> (the next state, the loss before it), to be jitted.

    The gradient of an embedding table is taken of the rows [B, S, d] that the batch reads, so that no array of a step
    but the tables and their moments has the vocabulary's size; donated, these are updated in place.

    Args:
        model: any model of `tafe_tf.models`; inputs are its own.
        optimizer: the one that the state is of.
        loss: of labels and what the model gives in training, with the rows' weights [B] if they are given.

    Raises:
        ValueError: if a table is kept in half precision, whose rounding by chance is TensorFlow's alone.
    """
    embeddings = [layer for layer in model.layers if isinstance(layer, FusedEmbedding)]
    if half := {embedding.table.dtype for embedding in embeddings} & {"bfloat16", "float16"}:
        raise ValueError(f"on JAX a table must be float32. Received: embedding_dtype={min(half)!r}")
    place = {id(variable): i for i, variable in enumerate(model.trainable_variables)}
    tables = [place[id(embedding.table)] for embedding in embeddings]

    def step(state: State, inputs: Any, labels: Any, weight: Any = None) -> tuple[State, jax.Array]:
        ids = inputs["ids"] if isinstance(inputs, Mapping) else inputs
        rows = [embedding.rows_of(ids) for embedding in embeddings]
        read = [jnp.take(state.weights[i], r, axis=0) for i, r in zip(tables, rows, strict=True)]
        dense = [None if i in tables else w for i, w in enumerate(state.weights)]

        def total(dense: list[Any], read: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
            weights = [w if d is None else d for w, d in zip(state.weights, dense, strict=True)]
            with _reading(embeddings, read):
                logits, others, further = model.stateless_call(
                    weights, state.others, inputs, training=True, return_losses=True
                )
            return loss(labels, logits, sample_weight=weight) + sum(further), others

        gradients_of = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
        (value, others), (gradients, of_read) = gradients_of(dense, read)
        for i, r, values in zip(tables, rows, of_read, strict=True):
            gradients[i] = RowGradients(r.reshape(-1), values.reshape(-1, values.shape[-1]))
        weights, moments = optimizer.stateless_apply(state.moments, gradients, state.weights)
        return State(weights, others, moments), value

    return step


def _variables(model: keras.Model, optimizer: LazyAdam) -> tuple[Sequence[keras.Variable], ...]:
    """In the order of `State`."""
    return model.trainable_variables, model.non_trainable_variables, optimizer.variables


@contextlib.contextmanager
def _reading(embeddings: Sequence[FusedEmbedding], read: Sequence[jax.Array]) -> Iterator[None]:
    """Lets each embedding give what was read for it."""
    for embedding, values in zip(embeddings, read, strict=True):
        embedding.reader = lambda rows, values=values: values
    try:
        yield
    finally:
        for embedding in embeddings:
            embedding.reader = None
