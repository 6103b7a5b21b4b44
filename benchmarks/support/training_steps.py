"""Training steps of an untrained model on Ali-CCP's fields, as the training loop makes them."""

from __future__ import annotations

import itertools
import pathlib
import resource
import time
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from benchmarks.support import ali_ccp_schema, ali_ccp_shape, rounds
from tafe_tf import machine
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.stream import Stream
from tafe_tf.data.formats.write import write
from tafe_tf.features.graph import Features
from tafe_tf.native import stack
from tafe_tf.native.library import Mode
from tafe_tf.optimizers import LazyAdam
from tafe_tf.training.sync_steps import SyncSteps

BATCHES = 200  # different batches; after these they repeat
PER_CALL = 20  # steps in one call, as in the loop
FILES = 4


def from_memory(size: int, fields: Mapping[str, int]) -> tf.data.Dataset:
    """Makes endless batches of `size` rows that lie in memory.

    Args:
        size: Rows of a batch.
        fields: Vocabulary sizes by field.
    """
    # Made one by one, so that the process's peak of memory is that of training.
    batches = [_batch(size, fields, seed) for seed in range(BATCHES)]
    stacked = tf.nest.map_structure(lambda *arrays: np.stack(arrays), *batches)
    return tf.data.Dataset.from_tensor_slices(stacked).repeat().prefetch(4)


def _batch(size: int, fields: Mapping[str, int], seed: int) -> Batch:
    columns = ali_ccp_shape.labelled(size, seed, fields)
    labels = np.stack([columns.pop("click"), columns.pop("buy")], axis=1)
    ids = np.stack(list(columns.values()), axis=1)
    return Batch(
        inputs={"ids": ids.astype(np.int32)},
        labels=labels.astype(np.float32),
        weight=np.ones(size, np.float32),
        file=np.zeros(size, np.int32),
        row=np.arange(size),
        position=np.zeros([1, 2], np.int64),
        more=np.ones([1], bool),
        extra={},
    )


def from_files(
    directory: pathlib.Path, extension: str, size: int, fields: Mapping[str, int]
) -> tf.data.Dataset:
    """Makes endless batches as the training loop reads them: files, shuffled, through `Features`.

    Args:
        directory: A new directory, which the files are written to.
        extension: The files' format, such as "parquet".
        size: Rows of a batch.
        fields: Vocabulary sizes by field.
    """
    schema = ali_ccp_schema.write_schema(directory, fields)
    files = []
    for i in range(FILES):
        files.append(str(directory / f"train-{i}.{extension}"))
        write(files[i], ali_ccp_shape.labelled(BATCHES * size // FILES, seed=i, fields=fields))
    data = FunnelData(files=files, schema=schema, batch_size=size)

    def batches() -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from data.training_batches(Position(epoch=epoch))

    return Stream(batches, schema, "train", Features(schema, directory)).dataset


def measured(
    spec: str,
    size: int,
    fields: Mapping[str, int],
    dataset: tf.data.Dataset,
    native: Mode = "auto",
) -> rounds.Measure:
    """Compiles a model's training step and returns what measures it.

    Its figures are rows per second, MiB of float32 weights, peak MiB of the process, and the
    seconds of the first call, which compiles.

    Args:
        spec: The model, as `ali_ccp_shape.model` takes it.
        size: Rows of a batch.
        fields: Vocabulary sizes by field.
        dataset: Endless batches.
        native: Whether to compute by the native kernel, see `stack.use`. The default is "auto".
    """
    model = ali_ccp_shape.model(spec, fields)
    print(f"{spec}: {stack.use(model, native)}")
    model.pieces = machine.pieces(size)
    optimizer = LazyAdam(1e-3)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    steps = SyncSteps(model, optimizer, model.paper_loss(), strategy, 1, PER_CALL)
    iterator = iter(dataset)

    def call() -> int:
        return int(steps(iterator).rows)

    began = time.perf_counter()
    call()
    first_call = time.perf_counter() - began

    def measure() -> rounds.Figures:
        call()
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "train_sps": rounds.rate(call, rounds.SECONDS.value),
            "weights_mib": 4 * model.count_params() / 2**20,
            "peak_rss_mib": peak_kib / 1024,
            "first_call_s": first_call,
        }

    return measure
