"""Scores files with an exported model: reads, runs and writes, a part at a time.

The same function runs in this process and, by `serving.beam_score`, on the workers of a cluster.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.blocks.block import Block
from tafe_tf.data.iterators import read_ahead
from tafe_tf.data.shards.resumable_parts import Cut, read_parts
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch.job import ROW, Input, Job
from tafe_tf.serving.batch.ledger import Shard, claim, finish
from tafe_tf.serving.batch.part_files import PartWriter
from tafe_tf.terminal.progress import Progress

_BLOCKS_AHEAD = 2


def run(job: Job) -> dict[str, Any]:
    """Scores what is left of a job in this process, with a progress bar.

    Returns:
        What `ledger.finish` counts.

    Raises:
        JobError: if the output directory holds another job.
        DataError: if an input file, or a row of it, cannot be scored.
    """
    left = claim(job)
    if left:
        model = SessionModel(job.model)
        counts = [shard.rows(job.rows_per_shard) for shard in left]
        with Progress(
            "scoring", None if None in counts else sum(filter(None, counts)), unit="rows"
        ) as bar:
            for rows in score(model, job, left):
                bar.advance(rows, rows)
        model.close()
    return finish(job)


def score(model: SessionModel, job: Job, shards: Iterable[Shard]) -> Iterator[int]:
    """Scores shards and writes their parts; while the model runs, the next blocks are read.

    Yields:
        The number of rows of each block, once it is written.

    Raises:
        DataError: if an input file, or a row of it, cannot be scored. Parts before it are finished.
    """
    with contextlib.closing(read_ahead(_read(job, shards), _BLOCKS_AHEAD)) as cuts:
        for source, first in cuts:
            with PartWriter(job, source, first.part) as writer:
                for cut in itertools.chain([first], (cut for _, cut in cuts)):
                    writer.append(_scores(model, job, cut.block), cut.dropped, cut.reasons)
                    yield len(cut.block.row)
                    if cut.ends:
                        break
                writer.finish(cut.last)


def _read(job: Job, shards: Iterable[Shard]) -> Iterator[tuple[Input, Cut]]:
    columns = [column.name for column in job.schema.inputs]
    for shard in shards:
        cuts = read_parts(
            shard.source.path,
            job.schema,
            job.rows_per_shard,
            job.on_bad_row,
            shard.first,
            shard.stop,
            block_rows=job.block_rows,
            columns=columns,
            keep=job.keys,
        )
        yield from ((shard.source, cut) for cut in cuts)


def _scores(model: SessionModel, job: Job, block: Block) -> pa.Table:
    """Keys, row numbers and outputs of a block."""
    scores = {name: np.empty(len(block.row), np.float32) for name in job.outputs}
    for start in range(0, len(block.row), job.batch_size):
        rows = slice(start, start + job.batch_size)
        batch = model({name: values[rows] for name, values in block.columns.items()}, job.signature)
        for name, values in scores.items():
            values[rows] = batch[name]
    return pa.table({**block.kept, ROW: block.row, **scores})
