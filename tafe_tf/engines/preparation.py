"""Preparing a dataset: its files as shards, and the vocabularies of its training files.

Both jobs read no flag and leave the work to an engine: this process, or workers to which a
driver deals parts. The outcome is the same bytes whichever engine does it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

from tafe_tf.data import bad_row_limit
from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import Dropped, Policy
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.lock import locked
from tafe_tf.data.shards import lifecycle
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.features import vocabulary
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import is_remote, join
from tafe_tf.storage.sending import remove, remove_tree
from tafe_tf.storage.staging import publish_tree

_COUNTS = ".vocabulary-counts"  # the folder in a store for what workers count


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocabularyJob:
    """What to build vocabularies from, and where.

    Attributes:
        files: The training files, absolute paths.
        schema: What to read of them.
        directory: The absolute path, or the URI, of the folder that gets `vocabulary/<feature>.txt`
            and `statistics.json`; it is made if it is not there.
        on_bad_row: "raise" (the default) to stop at a bad row, or "drop" to leave it out.
        max_bad_rows: How many rows of a split may be left out, see `bad_row_limit.check_limit`.
            Default: 1%.
    """

    files: Sequence[str]
    schema: Schema
    directory: str
    on_bad_row: Policy = "raise"
    max_bad_rows: str = bad_row_limit.DEFAULT


class Engine(Protocol):
    """Does the work of both jobs.

    Attributes:
        each_part: Whether it wants every shard as a piece of work of its own.
    """

    each_part: bool

    def write_shards(self, job: ShardJob, left: Sequence[Piece]) -> None:
        """Writes what is left of a job."""

    def build_vocabularies(self, job: VocabularyJob, shared: str) -> list[Dropped]:
        """Writes vocabularies and statistics, and returns which rows were dropped.

        Args:
            job: The job; its directory is one of this machine.
            shared: A path or URI where all workers can leave what they count.
        """


def prepare_shards(job: ShardJob, engine: Engine) -> dict[str, Any]:
    """Writes the shards that are missing, then the vocabularies beside them.

    Killed at any moment, the same call goes on with the shards that are missing.

    Args:
        job: What to make shards of, and where.
        engine: Who does the work.

    Returns:
        What `prepared.json` holds: the job's settings, under "rows" the counts of each split and
        under "reasons" why rows were dropped.

    Raises:
        DataError: If a file or a row cannot be used, or the output folder belongs to another job.
        LockError: If another process prepares into the folder.
        StoreError: If it is in a store that does not take files.
    """
    with locked(job.output):
        left = lifecycle.begin(job, each_part=engine.each_part)
        if left is not None:
            _write(job, engine, left)
    return dict(read_json(join(job.output, lifecycle.PREPARED)))


def _write(job: ShardJob, engine: Engine, left: Sequence[Piece]) -> None:
    """Writes the shards that are left, and then the vocabularies."""
    engine.write_shards(job, left)
    counts = lifecycle.summary(job)
    vocabularies = VocabularyJob(
        files=find_files(job.output, "train"),
        schema=job.schema,
        directory=job.output,
        on_bad_row=job.on_bad_row,
        max_bad_rows=job.max_bad_rows,
    )
    build_vocabularies(vocabularies, engine)
    lifecycle.finish(job, counts)


def build_vocabularies(job: VocabularyJob, engine: Engine) -> list[Dropped]:
    """Writes vocabularies and statistics beside shards, or wherever the job says.

    To a store they are sent once all are there, the statistics last, whose presence says so.

    Args:
        job: What to build them from, and where; the folder must be locked.
        engine: Who does the work.

    Returns:
        Which rows were dropped.

    Raises:
        DataError: If a file or a row cannot be used.
        StoreError: If the store does not take them.
    """
    if not is_remote(job.directory):
        return engine.build_vocabularies(job, job.directory)
    counts = join(job.directory, _COUNTS)
    remove_tree(counts)  # of a job that was killed
    with tempfile.TemporaryDirectory() as folder:
        here = dataclasses.replace(job, directory=folder)
        dropped = engine.build_vocabularies(here, counts)
        remove_tree(counts)
        statistics = join(job.directory, vocabulary.STATISTICS)
        remove(statistics)
        remove_tree(join(job.directory, "vocabulary"))
        publish_tree(folder, job.directory, last=[vocabulary.STATISTICS])
    return dropped
