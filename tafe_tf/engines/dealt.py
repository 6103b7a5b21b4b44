"""Preparation whose parts a driver deals out, to the workers of Dask, Spark or Apache Beam."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tafe_tf.data.bad_rows import Dropped, check_parts
from tafe_tf.data.errors import DataError
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines import counting
from tafe_tf.engines.driver import Driver, OnRows
from tafe_tf.engines.local import silently
from tafe_tf.engines.preparation import VocabularyJob
from tafe_tf.features import vocabulary
from tafe_tf.features.row_counts import RowCounts
from tafe_tf.storage.addresses import is_remote


class DealtEngine:
    """Prepares on workers, which must find all files under the same paths.

    Args:
        driver: Deals the parts out.
        progress: See `LocalEngine`. Default: nothing is shown.
    """

    each_part = True

    def __init__(
        self,
        driver: Driver,
        progress: Callable[[], AbstractContextManager[OnRows]] = silently,
    ) -> None:
        self._driver = driver
        self._progress = progress

    def write_shards(self, job: ShardJob, left: Sequence[Piece]) -> None:
        """Writes what is left of a job.

        Raises:
            EngineError: With the reason that the worker gave, such as a bad row's file and row.
        """
        if left:
            with self._progress() as on_rows:
                self._driver.run(functools.partial(convert, job), left, on_rows)

    def build_vocabularies(self, job: VocabularyJob, shared: str) -> list[Dropped]:
        """Writes vocabularies and statistics, and returns which rows were dropped.

        One worker counts a file; it holds the file's distinct values in memory.

        Args:
            job: The job.
            shared: Where all workers can leave what they count: the job's directory, or a folder of
                a store that holds nothing else.

        Raises:
            EngineError: With the reason that the worker gave.
            BadRowError: If more rows were dropped than `max_bad_rows` allows.
        """
        with vocabulary.beside(job.directory) as work:
            task = counting.Counting(
                schema=job.schema,
                policy=job.on_bad_row,
                work=shared if is_remote(shared) else str(work),
                files=tuple(job.files),
            )
            self._count(task)
            accounts = counting.accounts(task)
            reasons = []
            for account in accounts:
                reasons += [Dropped(**reason) for reason in account["reasons"]]
            dropped = sum(account["dropped"] for account in accounts)
            rows = dropped + sum(account["rows"] for account in accounts)
            check_parts(job.max_bad_rows, dropped, rows, reasons)
            _publish(task, work, accounts)
        return reasons

    def _count(self, task: counting.Counting) -> None:
        files = []
        for number, path in enumerate(task.files):
            files.append(counting.FilePart(number=number, path=path))
        count = functools.partial(counting.count_file, task)
        keep = functools.partial(counting.keep_bucket, task)
        self._driver.run(count, files, _ignore)
        self._driver.run(keep, counting.bucket_parts(task), _ignore)


def _ignore(rows: int) -> None:
    """A part of the counting is done; it is not shown."""


def _publish(
    task: counting.Counting,
    work: pathlib.Path,
    accounts: list[dict[str, Any]],
) -> None:
    rows = RowCounts(task.schema)
    for account in accounts:
        rows.add_json(account)
    if rows.rows == 0 and not any(account["reasons"] for account in accounts):
        raise DataError(f"{', '.join(task.files)}: holds no rows")
    vocabulary.publish(
        work,
        list(task.files),
        task.schema,
        rows,
        counting.kept_values(task),
    )
