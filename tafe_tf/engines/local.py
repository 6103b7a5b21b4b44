"""Preparation in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from tafe_tf.data.bad_rows import BadRows, Dropped
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines.preparation import VocabularyJob
from tafe_tf.features import vocabulary

OnRows = Callable[[int], None]


def _silently() -> AbstractContextManager[OnRows]:
    return contextlib.nullcontext(lambda rows: None)


class LocalEngine:
    """Prepares in this process, one file after the other.

    Args:
        progress: Makes a context for the time that shards are written; what it gives is called with
            the number of rows of each block. Default: nothing is shown.
    """

    each_part = False

    def __init__(self, progress: Callable[[], AbstractContextManager[OnRows]] = _silently) -> None:
        self._progress = progress

    def write_shards(self, job: ShardJob, left: Sequence[Piece]) -> None:
        """Writes what is left of a job."""
        with self._progress() as on_rows:
            for piece in left:
                for rows in convert(job, piece):
                    on_rows(rows)

    def build_vocabularies(self, job: VocabularyJob) -> list[Dropped]:
        """Writes vocabularies and statistics, and returns which rows were dropped."""
        bad_rows = BadRows(job.on_bad_row, job.max_bad_rows)
        vocabulary.build(
            list(job.files),
            job.schema,
            job.directory,
            bad_rows,
        )
        return bad_rows.reasons()
