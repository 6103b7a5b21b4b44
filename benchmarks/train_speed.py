"""Rows a second of training: whole steps of the loop, table and optimizer included, from memory and from files.

    python -m benchmarks.train_speed [--models="tafe mmoe/expert_units=[256,64]"] [--sources=memory,parquet,tfrecord]
        [--against="COMMAND"]

Ali-CCP's 23 fields and 1.4 M ids, the models as the paper sets them where nothing else is said.
"""

from __future__ import annotations

import itertools
import pathlib
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf
from absl import app, flags

from benchmarks.support import ali_ccp_shape, rounds
from tafe_tf import machine
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.stream import Stream
from tafe_tf.data.formats.write import write
from tafe_tf.features.graph import Features
from tafe_tf.flags import training_config
from tafe_tf.optimizers import LazyAdam
from tafe_tf.training.sync_steps import SyncSteps

_MODELS = flags.DEFINE_spaceseplist("models", ["tafe"], "MODEL or MODEL/ARGUMENT=VALUE/...")
_SOURCES = flags.DEFINE_list(
    "sources", ["memory"], "Where batches come from: memory, or files of a format."
)
flags.declare_key_flag("batch_size")
flags.declare_key_flag("dtype_policy")

BATCHES, PER_CALL = 200, 20


def from_memory(size: int, fields: Mapping[str, int]) -> tf.data.Dataset:
    """Endless batches from memory."""
    columns = ali_ccp_shape.labelled(BATCHES * size, fields=fields)
    labels = tf.stack([columns.pop("click"), columns.pop("buy")], axis=1)
    rows = Batch(
        inputs={"ids": tf.cast(tf.stack(list(columns.values()), axis=1), tf.int32)},
        labels=tf.cast(labels, tf.float32),
        weight=tf.ones(BATCHES * size),
        file=tf.zeros(BATCHES * size, tf.int32),
        row=tf.range(BATCHES * size, dtype=tf.int64),
        position=tf.zeros([BATCHES * size, 2], tf.int64),
        more=tf.ones([BATCHES * size], tf.bool),
        extra={},
    )
    dataset = tf.data.Dataset.from_tensor_slices(rows).repeat().batch(size)
    return dataset.map(
        lambda batch: batch._replace(position=batch.position[:1], more=batch.more[:1])
    ).prefetch(4)


def from_files(
    directory: pathlib.Path, kind: str, size: int, fields: Mapping[str, int]
) -> tf.data.Dataset:
    """Endless batches as the training loop reads them: epochs of four files, shuffled, through `Features`."""
    schema = ali_ccp_shape.write_schema(directory, fields)
    files = [str(directory / f"train-{i}.{kind}") for i in range(4)]
    for i, file in enumerate(files):
        write(file, ali_ccp_shape.labelled(BATCHES * size // 4, seed=i, fields=fields))
    data = FunnelData(files=files, schema=schema, batch_size=size)

    def batches() -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from data.training_batches(Position(epoch=epoch))

    return Stream(batches, schema, "train", Features(schema, directory)).dataset


def trained(
    spec: str, size: int, fields: Mapping[str, int], dataset: tf.data.Dataset
) -> rounds.Measure:
    """Measures one model's steps."""
    model = ali_ccp_shape.model(spec, fields)
    model.pieces = machine.pieces(size)
    optimizer = LazyAdam(1e-3)
    optimizer.build(model.trainable_variables)
    steps = SyncSteps(
        model, optimizer, model.paper_loss(), tf.distribute.get_strategy(), 1, PER_CALL
    )
    iterator = iter(dataset)

    def call() -> int:
        return int(steps(iterator)["rows"])

    began = time.perf_counter()
    call()
    first = time.perf_counter() - began

    def measure() -> rounds.Figures:
        call()
        return {
            "train_sps": rounds.rate(call, rounds.SECONDS.value),
            "weights_mib": 4 * model.count_params() / 2**20,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "first_call_s": first,
        }

    return measure


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    machine.set_threads(training_config().batch_size)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(training_config().dtype_policy)
    size, fields = training_config().batch_size, ali_ccp_shape.ALL_FIELDS
    with tempfile.TemporaryDirectory() as directory:
        ways = {}
        for source in _SOURCES.value:
            at = pathlib.Path(directory) / source
            dataset = (
                from_memory(size, fields)
                if source == "memory"
                else from_files(at, source, size, fields)
            )
            for spec in _MODELS.value:
                ways[spec if source == "memory" else f"{spec}, {source}"] = trained(
                    spec, size, fields, dataset
                )
        seen = rounds.run(ways, {"train_sps": "train_sps"})
    rounds.show(seen, f"training, B = {size}, {training_config().dtype_policy}")


if __name__ == "__main__":
    app.run(main)
