"""Rows a second of training: whole steps of the loop, table and optimizer included, on batches that lie in memory.

    python -m benchmarks.train_speed [--models="tafe mmoe/expert_units=[256,64]"] [--against="COMMAND"]

Ali-CCP's 23 fields and 1.4 M ids, the models as the paper sets them where nothing else is said.
"""

from __future__ import annotations

import functools
import resource

import keras
import tensorflow as tf
from absl import app, flags

from benchmarks import ali_ccp_shape, rounds
from tafe_tf import cores
from tafe_tf.data.dataset import Batch
from tafe_tf.flags import BATCH_SIZE, DTYPE_POLICY
from tafe_tf.optimizers import LazyAdam
from tafe_tf.steps import Steps

_MODELS = flags.DEFINE_spaceseplist("models", ["tafe"], "MODEL or MODEL/ARGUMENT=VALUE/...")
flags.declare_key_flag("batch_size")
flags.declare_key_flag("dtype_policy")

BATCHES, PER_CALL = 200, 20


def batches(size: int) -> tf.data.Dataset:
    """Endless batches from memory."""
    columns = ali_ccp_shape.labelled(BATCHES * size, fields=ali_ccp_shape.ALL_FIELDS)
    labels = tf.stack([columns.pop("click"), columns.pop("buy")], axis=1)
    rows = Batch(
        inputs={"ids": tf.cast(tf.stack(list(columns.values()), axis=1), tf.int32)},
        labels=tf.cast(labels, tf.float32),
        weight=tf.ones(BATCHES * size),
        file=tf.zeros(BATCHES * size, tf.int32),
        row=tf.range(BATCHES * size, dtype=tf.int64),
        position=tf.zeros([BATCHES * size, 2], tf.int64),
        extra={},
    )
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(size, drop_remainder=True).cache()
    return dataset.map(lambda batch: batch._replace(position=batch.position[0])).repeat().prefetch(4)


def trained(spec: str, size: int) -> rounds.Measure:
    """Measures one model's steps."""
    model = ali_ccp_shape.model(spec, ali_ccp_shape.ALL_FIELDS)
    model.pieces = cores.pieces(size)
    optimizer = LazyAdam(1e-3)
    optimizer.build(model.trainable_variables)
    steps = Steps(model, optimizer, model.paper_loss(), tf.distribute.get_strategy(), 2, PER_CALL)
    iterator = iter(batches(size))

    def call() -> int:
        return int(steps(iterator)["rows"])

    call()
    call()

    def measure() -> rounds.Figures:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        return {"train_sps": rounds.rate(call, rounds.SECONDS.value), "peak_rss_mib": peak}

    return measure


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    cores.set_threads(BATCH_SIZE.value)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(DTYPE_POLICY.value)
    make = functools.partial(trained, size=BATCH_SIZE.value)
    ways = {spec: make(spec) for spec in _MODELS.value}
    seen = rounds.run(ways, {"train_sps": "train_sps", "peak_rss_mib": "train_rss_mb"})
    rounds.show(seen, f"training, B = {BATCH_SIZE.value}, {DTYPE_POLICY.value}")


if __name__ == "__main__":
    app.run(main)
