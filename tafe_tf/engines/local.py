"""The work of a job in this process, and preparation in one pass."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from tafe_tf.data.bad_rows import BadRows, Dropped
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines.driver import OnRows, Part, Work
from tafe_tf.engines.preparation import VocabularyJob
from tafe_tf.features import vocabulary


class LocalDriver:
    """Does the parts of a job in this process, one after the other; errors are what `work` raises.

    Example:
        >>> def work(rows):
        ...     yield from rows
        >>> done = []
        >>> LocalDriver().run(work, [[2, 3], [4]], done.append)
        >>> done
        [2, 3, 4]
    """

    each_part = False

    def run(
        self,
        work: Work,
        parts: Sequence[Part],
        on_rows: OnRows,
    ) -> None:
        """See `Driver.run`."""
        for part in parts:
            for rows in work(part):
                on_rows(rows)


def silently() -> AbstractContextManager[OnRows]:
    """A progress that shows nothing."""
    return contextlib.nullcontext(lambda rows: None)


class LocalEngine:
    """Prepares in this process, one file after the other.

    Args:
        progress: Makes a context for the time that shards are written; what it gives is called with
            the number of rows of each block. Default: nothing is shown.
    """

    each_part = LocalDriver.each_part

    def __init__(self, progress: Callable[[], AbstractContextManager[OnRows]] = silently) -> None:
        self._progress = progress

    def write_shards(self, job: ShardJob, left: Sequence[Piece]) -> None:
        """Writes what is left of a job."""
        with self._progress() as on_rows:
            LocalDriver().run(functools.partial(convert, job), left, on_rows)

    def build_vocabularies(self, job: VocabularyJob, shared: str = "") -> list[Dropped]:
        """Writes vocabularies and statistics, and returns which rows were dropped."""
        bad_rows = BadRows(job.on_bad_row, job.max_bad_rows)
        vocabulary.build(
            list(job.files),
            job.schema,
            job.directory,
            bad_rows,
        )
        return bad_rows.reasons()
