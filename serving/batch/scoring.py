"""Scores files with an exported model: reads, runs and writes a part at a time.

`score` runs in this process, and on the workers of a cluster by `serving.batch.beam`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf import machine
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.iterators import read_ahead
from tafe_tf.data.lock import locked
from tafe_tf.data.shards.resumable_parts import Cut, read_parts
from tafe_tf.export import kernel_check
from tafe_tf.export.description import FIELDS_SIGNATURE
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input
from tafe_tf.serving.batch.job import ROW, Input, Job, check_model
from tafe_tf.serving.batch.ledger import Shard, claim, finish
from tafe_tf.serving.batch.part_files import PartWriter
from tafe_tf.terminal.progress import Progress

_BLOCKS_AHEAD = 2  # blocks that are read while the model runs
CHECKED_ROWS = 64  # of each block, which are computed by the kernel and without it


def run(job: Job) -> dict[str, Any]:
    """Scores what is left of a job in this process, with a progress bar.

    Args:
        job: The job; the same job goes on where it was stopped.

    Returns:
        The counts of `ledger.finish`.

    Raises:
        JobError: If the output directory holds another job, or the model is not what was published.
        LockError: If another process scores into the directory.
        DataError: If an input file, or a row of it, cannot be scored.
    """
    with locked(job.output):
        left = claim(job)
        if left:
            print(f"{job.model}: {check_model(job.model)}", flush=True)
            model = load(job)
            print(f"{job.model}: {model.way}", flush=True)
            with Progress("scoring", _count(job, left), unit="rows") as bar:
                for rows in score(model, job, left):
                    bar.advance(rows, rows)
            model.close()
        return finish(job)


def load(job: Job) -> SessionModel:
    """Loads a job's model; `score` asks it on all cores at once, each with a batch of its own.

    Raises:
        ValueError: If the native kernel must be used and cannot.
    """
    return SessionModel(job.model, native=job.native, native_threads=1)


def _count(job: Job, shards: Iterable[Shard]) -> int | None:
    """The number of rows in shards, or None if it is not known."""
    total = 0
    for shard in shards:
        rows = shard.rows(job.rows_per_shard)
        if rows is None:
            return None
        total += rows
    return total


def score(model: SessionModel, job: Job, shards: Iterable[Shard]) -> Iterator[int]:
    """Scores shards and writes their parts. While the model runs, the next blocks are read.

    Args:
        model: The job's model, loaded.
        job: The job.
        shards: What to score of it.

    Yields:
        The number of rows in each block, once it is written.

    Raises:
        DataError: If an input file, or a row of it, cannot be scored. The parts before it are done.
        ExportError: If the native kernel does not compute what the model's own operations do.
    """
    reading = contextlib.closing(read_ahead(_read(job, shards), _BLOCKS_AHEAD))
    with ThreadPoolExecutor(machine.threads()) as workers, reading as cuts:
        for source, first in cuts:
            with PartWriter(job, source, first.part) as writer:
                rest = (cut for _, cut in cuts)
                for cut in itertools.chain([first], rest):
                    scores, fields = _scores(model, job, cut.block, workers)
                    writer.append(scores, cut.dropped, cut.reasons, fields)
                    yield len(cut.block.row)
                    if cut.ends:
                        break
                writer.finish(cut.last)


def _read(job: Job, shards: Iterable[Shard]) -> Iterator[tuple[Input, Cut]]:
    """The blocks of shards, each with the file that it comes from."""
    columns = [column.name for column in job.schema.inputs]
    files = [source.path for source in job.inputs]
    for shard in shards:
        cuts = read_parts(
            shard.source.path,
            job.schema,
            job.rows_per_shard,
            job.on_bad_row,
            shard.first,
            shard.stop,
            split=files,
            block_rows=job.block_rows,
            columns=columns,
            keep=job.keys,
        )
        for cut in cuts:
            yield shard.source, cut


def _scores(
    model: SessionModel,
    job: Job,
    block: Block,
    workers: Executor,
) -> tuple[pa.Table, FieldCounts | None]:
    """The keys, row numbers and outputs of a block, and the values of its fields if it is known."""
    count = len(block.row)
    fields = FieldCounts([feature.name for feature in job.schema.features])
    scores = {name: np.empty(count, np.float32) for name in job.outputs}

    def score_batch(start: int) -> Mapping[str, np.ndarray]:
        rows = slice(start, start + job.batch_size)
        inputs = _inputs(job, block, rows)
        for name, values in model(inputs, job.signature).items():
            scores[name][rows] = values
        return model(inputs, FIELDS_SIGNATURE) if job.tells_fields else {}

    if count and job.signature in model.native_signatures:
        first = _inputs(job, block, slice(CHECKED_ROWS))
        kernel_check.check(model, job.signature, first)
    for shares in workers.map(score_batch, range(0, count, job.batch_size)):
        if job.tells_fields:
            fields.add_rows(**shares)
    table = pa.table({**block.kept, ROW: block.row, **scores})
    return table, fields if job.tells_fields else None


def _inputs(job: Job, block: Block, rows: slice) -> dict[str, np.ndarray]:
    """Some rows of a block as the model's inputs."""
    columns = {name: values[rows] for name, values in block.columns.items()}
    return by_input(job.schema, columns)
