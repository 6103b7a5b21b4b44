"""One way to train and to answer on JAX, measured: rows a second and memory."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.support import ali_ccp_shape, jax_attention, jax_products, rounds
from tafe_tf.jax_training import LazyAdam, State, training_step
from tafe_tf.models import FunnelModel
from tafe_tf.native import stack

MOST_ROWS = 1 << 20  # of all different batches together; after these they repeat
PRECISIONS = ("default", "highest", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        model: The model, see `ali_ccp_shape.parse`.
        batch_size: Rows of a batch over all devices, B.
        precision: "default" and "highest" are JAX's precisions of float32 products, the first of
            which is TF32 on recent NVIDIA GPUs; "bfloat16" is Keras's mixed_bfloat16.
        attention: One of `jax_attention.WAYS`.
        ids: Rows of the embedding table, about; 0 for the paper's.
        steps: How many steps, or batches answered, a call of the device makes at the most.
    """

    model: str
    batch_size: int
    precision: str
    attention: str
    ids: int
    steps: int


class Running:
    """A case, compiled.

    Args:
        case: The case.
        devices: The devices that share a batch; weights, moments and tables are on each.

    Attributes:
        rows_a_call: Rows that `train` and `answer` read.
        first_loss: The loss before the last step of the first call. All ways to compute the
            attention start from equal weights, so it tells whether they compute the same.
        bytes: Bytes of the device that a call takes, of "train" and "infer": its arguments, its
            results and all between them.
    """

    def __init__(self, case: Case, devices: Sequence[jax.Device]) -> None:
        policy = "mixed_bfloat16" if case.precision == "bfloat16" else "float32"
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        fields = _fields(case.ids)
        model = ali_ccp_shape.model(case.model, fields)
        stack.use(model, "on" if case.attention == jax_attention.NATIVE else "off")
        mesh = Mesh(np.array(devices), ("rows",))
        on_each = NamedSharding(mesh, PartitionSpec())
        cut = NamedSharding(mesh, PartitionSpec(None, "rows"))
        ids, labels = batches(case, fields)
        self._ids, self._labels = jax.device_put((ids, labels), cut)
        self.rows_a_call = ids.shape[0] * ids.shape[1]
        optimizer = LazyAdam(1e-3)
        self._state = jax.device_put(State.of(model, optimizer), on_each)
        step = training_step(model, optimizer, model.paper_loss())
        precision = "highest" if case.precision == "highest" else "default"
        with jax.default_matmul_precision(precision), jax_attention.using(case.attention):
            training = _train(step, on_each).lower(self._state, self._ids, self._labels)
            inference = _infer(model).lower(self._state, self._ids)
        self._train = training.compile()
        self._infer = inference.compile()
        self.bytes = {"train": _bytes(self._train), "infer": _bytes(self._infer)}
        self.first_loss = self._steps()

    def _steps(self) -> float:
        """Makes a call's steps, and returns the loss before the last one."""
        self._state, loss = self._train(self._state, self._ids, self._labels)
        if not math.isfinite(loss):  # waits for the device
            raise ArithmeticError(f"the loss is {loss}")
        return float(loss)

    def train(self) -> int:
        """Makes a call's steps, and returns the number of their rows."""
        self._steps()
        return self.rows_a_call

    def answer(self) -> int:
        """Answers a call's batches, and returns the number of their rows."""
        self._infer(self._state, self._ids).block_until_ready()
        return self.rows_a_call


def measure(running: Running) -> dict[str, list[float]]:
    """Measures rows a second, `--rounds` times in turn: training, inference and again."""
    running.answer()  # the first call may take longer
    figures: dict[str, list[float]] = {"train_sps": [], "infer_sps": []}
    for _ in range(rounds.ROUNDS.value):
        figures["train_sps"].append(rounds.rate(running.train, rounds.SECONDS.value))
        figures["infer_sps"].append(rounds.rate(running.answer, rounds.SECONDS.value))
    return figures


def batches(case: Case, fields: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """A call's batches: ids [steps, B, F] and labels [steps, B, 2]."""
    steps = max(min(case.steps, MOST_ROWS // case.batch_size), 1)
    ids, labels = _rows(steps * case.batch_size, tuple(fields.items()))
    shape = (steps, case.batch_size, -1)
    return ids.reshape(shape), labels.reshape(shape)


@functools.lru_cache(maxsize=1)
def _rows(count: int, fields: tuple[tuple[str, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    columns = ali_ccp_shape.labelled(count, fields=dict(fields))
    labels = np.stack([columns.pop("click"), columns.pop("buy")], axis=1)
    ids = np.stack(list(columns.values()), axis=1)
    return ids.astype(np.int32), labels.astype(np.float32)


def _fields(ids: int) -> dict[str, int]:
    """The paper's 18 fields, with about as many ids in all."""
    if not ids:
        return ali_ccp_shape.FIELDS
    return ali_ccp_shape.scaled_fields(ids, ali_ccp_shape.FIELDS)


def _train(step: Any, on_each: NamedSharding) -> Any:
    def train(state: State, ids: jax.Array, labels: jax.Array) -> tuple[State, jax.Array]:
        def next_step(state: State, batch: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
            state, loss = step(state, *batch)
            return State(*state), loss

        state, losses = jax.lax.scan(next_step, state, (ids, labels))
        return state, losses[-1]

    return jax.jit(train, donate_argnums=0, out_shardings=(on_each, on_each))


def _infer(model: FunnelModel) -> Any:
    def infer(state: State, ids: jax.Array) -> jax.Array:
        def logits_of(ids: jax.Array) -> jax.Array:
            logits, _ = model.stateless_call(state.weights, state.others, ids, training=False)
            return logits

        return jax.lax.map(logits_of, ids)

    return jax.jit(infer)


@functools.cache
def flop_a_row(spec: str) -> dict[str, float]:
    """Counts the operations of the products of matrices, a row, as the layers make them.

    Args:
        spec: The model, see `ali_ccp_shape.parse`.

    Returns:
        Those of "train", a whole step, and of "infer".
    """
    rows = 64
    model = ali_ccp_shape.model(spec, dict.fromkeys(ali_ccp_shape.FIELDS, 2))
    optimizer = LazyAdam(1e-3)
    state = State.of(model, optimizer)
    ids = np.zeros((rows, len(ali_ccp_shape.FIELDS)), np.int32)
    labels = np.zeros((rows, 2), np.float32)
    step = training_step(model, optimizer, model.paper_loss())
    trained = jax.make_jaxpr(step)(state, ids, labels)
    answered = jax.make_jaxpr(_infer(model))(state, ids[None])
    return {
        "train": jax_products.flop(trained) / rows,
        "infer": jax_products.flop(answered) / rows,
    }


def _bytes(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    taken: int = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return taken + memory.output_size_in_bytes - memory.alias_size_in_bytes
