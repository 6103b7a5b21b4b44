"""Scores files with an exported model, part by part; a driver deals the parts out.

`score_shard` is what is done with a part, in this process or on a worker of a cluster.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from tafe_tf import machine
from tafe_tf.data.iterators import read_ahead
from tafe_tf.data.lock import locked
from tafe_tf.data.shards.resumable_parts import Cut, read_parts
from tafe_tf.engines.driver import Driver
from tafe_tf.engines.local import LocalDriver
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch import block_scores
from tafe_tf.serving.batch.job import ROW, Input, Job
from tafe_tf.serving.batch.ledger import Shard, claim, finish
from tafe_tf.serving.batch.part_files import PartWriter
from tafe_tf.serving.batch.settings import check_model
from tafe_tf.terminal.progress import Progress

_BLOCKS_AHEAD = 2  # blocks that are read while the model runs


def run(job: Job, driver: Driver | None = None) -> dict[str, Any]:
    """Scores what is left of a job, with a progress bar.

    Args:
        job: The job; the same job goes on where it was stopped.
        driver: Deals the parts out. On a cluster the model, the input and the output must lie
            where every worker finds them under the same path. Default: None, this process scores.

    Returns:
        The counts of `ledger.finish`.

    Raises:
        JobError: If the output directory holds another job, or the model is not what was published.
        LockError: If another process scores into the directory.
        DataError: If an input file, or a row of it, cannot be scored by this process.
        EngineError: If a worker could not score a part, with what the worker said.
    """
    dealer = driver or LocalDriver()
    with locked(job.output):
        left = claim(job, each_part=dealer.each_part)
        if left:
            print(f"{job.model}: {check_model(job.model)}", flush=True)
            try:
                if driver is None:
                    print(f"{job.model}: {block_scores.loaded(job).way}", flush=True)
                _deal(job, dealer, left)
            finally:
                block_scores.forget()
        return finish(job)


def _deal(job: Job, driver: Driver, left: list[Shard]) -> None:
    work = functools.partial(score_shard, job)
    with Progress("scoring", _count(job, left), unit="rows") as bar:
        driver.run(work, left, lambda rows: bar.advance(rows, rows))


def _count(job: Job, shards: Iterable[Shard]) -> int | None:
    """The number of rows in shards, or None if it is not known."""
    total = 0
    for shard in shards:
        rows = shard.rows(job.rows_per_shard)
        if rows is None:
            return None
        total += rows
    return total


def score_shard(job: Job, shard: Shard) -> Iterator[int]:
    """Scores a shard by the model that this process has loaded, see `score`."""
    yield from score(block_scores.loaded(job), job, [shard])


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
                    block = cut.block
                    scores, fields = block_scores.score_block(model, job, block, workers)
                    table = pa.table({**block.kept, ROW: block.row, **scores})
                    writer.append(table, cut.dropped, cut.reasons, fields)
                    yield len(block.row)
                    if cut.ends:
                        break
                writer.finish(cut.last)


def _read(job: Job, shards: Iterable[Shard]) -> Iterator[tuple[Input, Cut]]:
    """The blocks of shards, each with the file that it comes from."""
    columns = [column.name for column in job.schema.served_inputs]
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
