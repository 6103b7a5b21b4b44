"""Rows a second of training and of inference on JAX, by batch size, beside the paper's; needs no TensorFlow.

    KERAS_BACKEND=jax python -m benchmarks.jax_speed [--batch_sizes=1024,4096,16384,65536] [--devices=1]
        [--dtype_policy=mixed_bfloat16] [--model=tafe]

Ali-CCP's 18 fields, the model as the paper sets it. Batches lie on the device and logits stay there; training is whole
steps, table and optimizer included (`tafe_tf.jax_training`). Products of float32 are as JAX has them by default, TF32
on recent NVIDIA GPUs; JAX_DEFAULT_MATMUL_PRECISION=highest in the environment makes them float32's own.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import keras
import numpy as np
from absl import app, flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.support import ali_ccp_shape, rounds
from tafe_tf.jax_training import LazyAdam, State, training_step
from tafe_tf.models import FunnelModel

_MODEL = flags.DEFINE_string("model", "tafe", "MODEL or MODEL/ARGUMENT=VALUE/...")
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes", ["1024", "4096", "16384", "65536"], "Rows a step, of all devices."
)
_DEVICES = flags.DEFINE_integer(
    "devices", 1, "How many of this machine's devices share a batch; 0 is all."
)
_DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy", "float32", ["float32", "mixed_bfloat16"], "Keras's precision."
)

BATCHES, PER_CALL = 8, 20
# Section 4.5: 38 M rows trained in 1,177 s, 4.2 M answered in 47 s; in PyTorch, trained at B = 1,024 (4.1.4), on what
# hardware is not said.
PAPER = {"train_sps": 38e6 / 1177, "infer_sps": 4.2e6 / 47}


def batches(size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids [B, F] and labels [B, 2] of some batches."""
    columns = ali_ccp_shape.labelled(BATCHES * size)
    labels = np.stack([columns.pop("click"), columns.pop("buy")], axis=1).astype(np.float32)
    ids = np.stack(list(columns.values()), axis=1).astype(np.int32)
    return list(zip(np.split(ids, BATCHES), np.split(labels, BATCHES), strict=True))


def measured(model: FunnelModel, size: int, devices: Sequence[jax.Device]) -> rounds.Measure:
    """Measures training and inference in batches of one size, after both were compiled.

    Args:
        model: whose weights training starts from; it keeps them.
        size: rows of a batch.
        devices: that share it; weights, moments and tables are on each.
    """
    mesh = Mesh(np.array(devices), ("rows",))
    whole, cut = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("rows"))
    optimizer = LazyAdam(1e-3)
    state = jax.device_put(State.of(model, optimizer), whole)
    given = itertools.cycle(jax.device_put(batches(size), cut))
    step = training_step(model, optimizer, model.paper_loss())
    step = jax.jit(step, donate_argnums=0, out_shardings=(whole, whole))
    infer = jax.jit(
        lambda weights, others, ids: model.stateless_call(weights, others, ids, training=False)[0]
    )

    def train() -> int:
        nonlocal state
        for ids, labels in itertools.islice(given, PER_CALL):
            state, loss = step(state, ids, labels)
        if not math.isfinite(loss):  # waits for it
            raise ArithmeticError(f"B = {size}: the loss is {loss}")
        return PER_CALL * size

    def answer() -> int:
        for ids, _ in itertools.islice(given, PER_CALL):
            logits = infer(state.weights, state.others, ids)
        logits.block_until_ready()
        return PER_CALL * size

    def measure() -> rounds.Figures:
        seconds = rounds.SECONDS.value
        return {"train_sps": rounds.rate(train, seconds), "infer_sps": rounds.rate(answer, seconds)}

    train(), answer()
    return measure


def summary(seen: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """By figure: each batch size's spread, the best size, the paper's figure and how many times that the best is."""
    figures: dict[str, Any] = {}
    for figure, paper in PAPER.items():
        spreads = {size: rounds.Spread.of(values[figure]) for size, values in seen.items()}
        best = max(spreads, key=lambda size: spreads[size].median)
        figures[figure] = {
            **{size: dataclasses.asdict(spread) for size, spread in spreads.items()},
            "best": {"batch_size": int(best), "median": spreads[best].median},
            "paper": round(paper),
            "times_paper": round(spreads[best].median / paper, 2),
        }
    return figures


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    if keras.backend.backend() != "jax":
        raise app.UsageError("say so to Keras: KERAS_BACKEND=jax python -m benchmarks.jax_speed")
    devices = jax.local_devices()[: _DEVICES.value or None]
    if len(devices) < _DEVICES.value:
        raise app.UsageError(f"--devices={_DEVICES.value}: this machine has {len(devices)}")
    sizes = [int(size) for size in _BATCH_SIZES.value]
    if wrong := [size for size in sizes if size % len(devices)]:
        raise app.UsageError(
            f"--batch_sizes={wrong}: {len(devices)} devices cannot share them evenly"
        )
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(_DTYPE_POLICY.value)
    model, ways = ali_ccp_shape.model(_MODEL.value), {}
    for size in sizes:
        try:
            ways[str(size)] = measured(model, size, devices)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            print(
                f"B = {size}: not enough memory; XLA_PYTHON_CLIENT_MEM_FRACTION=.95 lends more of it",
                flush=True,
            )
    machine = {
        "device": devices[0].device_kind,
        "devices": len(devices),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "matmul_precision": jax.config.values["jax_default_matmul_precision"] or "default",
        "dtype_policy": _DTYPE_POLICY.value,
        "model": _MODEL.value,
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    seen = rounds.run(ways, {})
    rounds.show_table(seen, "rows/s by B")
    print(json.dumps({**machine, **summary(seen)}))


if __name__ == "__main__":
    app.run(main)
