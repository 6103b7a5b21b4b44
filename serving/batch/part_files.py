"""Files of scores: each appears whole or not at all, and says what it was made of."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import uuid
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.bad_rows import Dropped
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.serving.batch.job import Input, Job, JobError, look_at

METADATA = "tafe_tf"  # the key in a file's metadata, with JSON


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A part that is done.

    Attributes:
        rows: how many were scored.
        dropped: how many were not, being bad.
        reasons: why.
        last: whether the input file ends with it.
    """

    rows: int
    dropped: int
    reasons: list[Dropped]
    last: bool


class PartWriter:
    """Writes a part beside its place, checks it and renames it.

    Args:
        job: it is a part of.
        source: the file that its rows come from.
        number: of the part, from 0.
    """

    def __init__(self, job: Job, source: Input, number: int) -> None:
        self._job, self._source, self._number = job, source, number
        self._path = job.part_path(source, number)
        self._beside = self._path.with_name(
            f".{self._path.name}.{uuid.uuid4().hex}.tmp"
        )  # another may write it too
        self._file = open(self._beside, "wb")  # noqa: SIM115
        self._writer: pq.ParquetWriter | None = None
        self._rows, self._dropped = 0, 0
        self._reasons: list[Dropped] = []

    def __enter__(self) -> PartWriter:
        return self

    def append(self, table: pa.Table, dropped: int, reasons: list[Dropped]) -> None:
        """Writes the scores of a block, and notes which of its rows have none.

        Raises:
            DataError: if the columns are of another type than before.
        """
        if self._writer is None:
            # Scores hardly repeat: a dictionary of them is a waste.
            self._writer = pq.ParquetWriter(
                self._file, table.schema, use_dictionary=list(self._job.keys) or False
            )
        if table.schema != self._writer.schema:
            names = [
                f.name for f, g in zip(table.schema, self._writer.schema, strict=True) if f != g
            ]
            raise DataError(
                f"{self._source.path}: column {names[0]!r} is stored in two ways in one file"
            )
        self._writer.write_table(table)
        self._rows, self._dropped = self._rows + table.num_rows, self._dropped + dropped
        self._reasons = merge([*self._reasons, *reasons])

    def finish(self, last: bool) -> None:
        """Makes the part appear.

        Args:
            last: whether the input file ends here.

        Raises:
            OSError: if it cannot be written, or holds another number of rows than were appended.
            DataError: if the input file is no longer what it was when the job began.
        """
        assert self._writer is not None, "a part has a block"
        done = Part(rows=self._rows, dropped=self._dropped, reasons=self._reasons, last=last)
        origin = (
            _origin(self._job, self._source) | {"part": self._number} | dataclasses.asdict(done)
        )
        self._writer.add_key_value_metadata({METADATA: json.dumps(origin)})
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        written = pq.read_metadata(self._beside).num_rows
        if written != self._rows:
            raise OSError(f"{self._beside}: holds {written} rows of {self._rows}")
        if look_at(self._source.path) != self._source:
            raise DataError(f"{self._source.path}: has changed since the job began; run it again")
        os.replace(self._beside, self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk, say, which the error at hand tells of
            if self._writer is not None:
                self._writer.close()
            self._file.close()
        self._beside.unlink(missing_ok=True)


def read_part(job: Job, source: Input, path: pathlib.Path) -> Part:
    """Reads what a part says of itself.

    Raises:
        JobError: if it is damaged, or the part of another job.
        BadRowError: if rows were dropped for which the job must stop.
    """
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise JobError(f"{path}: is damaged; remove it to score its rows again: {error}") from None
    stored: dict[str, Any] = json.loads(metadata.get(METADATA.encode(), b"{}"))
    for key, now in _origin(job, source).items():
        if stored.get(key) != now:
            raise JobError(
                f"{path}: holds scores of another job, whose {key} is {stored.get(key)!r} and not {now!r}; give "
                "another output directory, or remove this one"
            )
    part = Part(
        rows=stored["rows"],
        dropped=stored["dropped"],
        reasons=[Dropped(**reason) for reason in stored["reasons"]],
        last=stored["last"],
    )
    if part.dropped and job.on_bad_row == "raise":
        raise BadRowError(f"{path}: was scored without some rows; {part.reasons[0]}")
    return part


def _origin(job: Job, source: Input) -> dict[str, Any]:
    """What a part was made of."""
    return job.settings | {"input": source.identity}
