"""Measures training and inference on JAX by batch size, beside the paper's; needs no TensorFlow.

    KERAS_BACKEND=jax python -m benchmarks.jax_speed [--batch_sizes=1024,4096,16384,65536]
        [--devices=1] [--dtype_policy=mixed_bfloat16] [--model=tafe]

Ali-CCP's 18 fields, and the model as the paper sets it. Batches lie on the device, and logits stay
there. Training is whole steps, embedding table and optimizer included (`tafe_tf.jax_training`).
Float32 matrix products have JAX's default precision, which is TF32 on recent NVIDIA GPUs;
JAX_DEFAULT_MATMUL_PRECISION=highest in the environment makes them full float32. Prints a table and
a line of JSON with rows/s by batch size, and how many times the paper's rows/s the best one is.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np
from absl import app, flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.support import ali_ccp_shape, rounds
from tafe_tf.jax_training import LazyAdam, State, training_step
from tafe_tf.models import FunnelModel
from tafe_tf.terminal import command

_MODEL = flags.DEFINE_string(
    "model",
    "tafe",
    "The model: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments of its constructor.",
)
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes",
    ["1024", "4096", "16384", "65536"],
    "Rows of a batch over all devices, separated by commas.",
)
_DEVICES = flags.DEFINE_integer(
    "devices",
    1,
    "How many of this machine's devices share a batch; 0 takes all.",
)
_DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy",
    "float32",
    ["float32", "mixed_bfloat16"],
    "Keras's dtype policy, the precision to compute in.",
)

BATCHES = 8  # different batches; after these they repeat
PER_CALL = 20  # steps, or batches answered, between two looks at the clock
# Rows per second in section 4.5: 38 M rows trained in 1,177 s and 4.2 M answered in 47 s, with
# PyTorch on unnamed hardware; trained at B = 1,024 (section 4.1.4).
PAPER = {"train_sps": 38e6 / 1177, "infer_sps": 4.2e6 / 47}


def batches(size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws batches of ids [B, F] and labels [B, 2]."""
    columns = ali_ccp_shape.labelled(BATCHES * size)
    labels = np.stack([columns.pop("click"), columns.pop("buy")], axis=1)
    ids = np.stack(list(columns.values()), axis=1)
    ids_of_batches = np.split(ids.astype(np.int32), BATCHES)
    labels_of_batches = np.split(labels.astype(np.float32), BATCHES)
    return list(zip(ids_of_batches, labels_of_batches, strict=True))


def measured(model: FunnelModel, size: int, devices: Sequence[jax.Device]) -> rounds.Measure:
    """Compiles training and inference for one batch size, and returns what measures them.

    Args:
        model: The model whose weights training starts from; its own weights stay as they are.
        size: Rows of a batch.
        devices: The devices that share a batch; weights, moments and tables are on each.
    """
    mesh = Mesh(np.array(devices), ("rows",))
    on_each = NamedSharding(mesh, PartitionSpec())
    shared_out = NamedSharding(mesh, PartitionSpec("rows"))
    optimizer = LazyAdam(1e-3)
    state = jax.device_put(State.of(model, optimizer), on_each)
    endless = itertools.cycle(jax.device_put(batches(size), shared_out))
    step = jax.jit(
        training_step(model, optimizer, model.paper_loss()),
        donate_argnums=0,
        out_shardings=(on_each, on_each),
    )
    infer = jax.jit(
        lambda weights, others, ids: model.stateless_call(weights, others, ids, training=False)[0]
    )

    def train() -> int:
        nonlocal state
        for ids, labels in itertools.islice(endless, PER_CALL):
            state, loss = step(state, ids, labels)
        if not math.isfinite(loss):  # waits for the device
            raise ArithmeticError(f"B = {size}: the loss is {loss}")
        return PER_CALL * size

    def answer() -> int:
        for ids, _ in itertools.islice(endless, PER_CALL):
            logits = infer(state.weights, state.others, ids)
        logits.block_until_ready()
        return PER_CALL * size

    def measure() -> rounds.Figures:
        seconds = rounds.SECONDS.value
        return {"train_sps": rounds.rate(train, seconds), "infer_sps": rounds.rate(answer, seconds)}

    train()
    answer()
    return measure


def summary(seen: rounds.Seen) -> dict[str, Any]:
    """Compares with the paper.

    Returns:
        By figure: each batch size's spread, the best batch size, the paper's rows per second, and
        how many times that the best size reaches.
    """
    figures: dict[str, Any] = {}
    for figure, paper in PAPER.items():
        spreads = {size: rounds.Spread.of(values[figure]) for size, values in seen.items()}
        best = max(spreads, key=lambda size: spreads[size].median)
        fastest = spreads[best].median
        figures[figure] = {
            **{size: dataclasses.asdict(spread) for size, spread in spreads.items()},
            "best": {"batch_size": int(best), "median": fastest},
            "paper": round(paper),
            "times_paper": round(fastest / paper, 2),
        }
    return figures


def chosen_devices(sizes: Sequence[int]) -> list[jax.Device]:
    """The devices that --devices asks for, which must be able to share every batch evenly."""
    devices: list[jax.Device] = jax.local_devices()[: _DEVICES.value or None]
    if len(devices) < _DEVICES.value:
        raise app.UsageError(f"--devices={_DEVICES.value}: this machine has {len(devices)}")
    uneven = [size for size in sizes if size % len(devices)]
    if uneven:
        rule = f"{len(devices)} devices cannot share them evenly"
        raise app.UsageError(f"--batch_sizes={uneven}: {rule}")
    return devices


def compiled(
    model: FunnelModel, sizes: Sequence[int], devices: Sequence[jax.Device]
) -> dict[str, rounds.Measure]:
    """What measures each batch size; sizes that do not fit into memory are left out."""
    ways = {}
    for size in sizes:
        try:
            ways[str(size)] = measured(model, size, devices)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            remedy = "XLA_PYTHON_CLIENT_MEM_FRACTION=.95 lends more of it"
            print(f"B = {size}: not enough memory; {remedy}", flush=True)
    return ways


def main(argv: list[str]) -> None:
    """Measures all batch sizes in alternating rounds."""
    command.only_flags(argv)
    if keras.backend.backend() != "jax":
        raise app.UsageError("say so to Keras: KERAS_BACKEND=jax python -m benchmarks.jax_speed")
    sizes = [int(size) for size in _BATCH_SIZES.value]
    devices = chosen_devices(sizes)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(_DTYPE_POLICY.value)
    ways = compiled(ali_ccp_shape.model(_MODEL.value), sizes, devices)
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
    command.run(main)
