"""Files of scores: each appears whole or not at all, and says what it was made of.

What a file held when it was written stands in a record beside it, so that damage is noticed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import tempfile
import uuid
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data import atomic, manifest
from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.bad_rows import Dropped
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.manifest import Entry
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.serving.batch.job import Input, Job, look_at
from tafe_tf.serving.batch.settings import JobError
from tafe_tf.storage.addresses import is_remote, join, name_of, parent_of
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import identity
from tafe_tf.storage.reading import ObjectFile

METADATA = "tafe_tf"  # the key of our JSON in a Parquet file's metadata
RECORDS = "_parts"  # the folder of records, within the output directory


class DamagedPartError(JobError):
    """A part does not hold what was written; the message names it and says how it differs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A part that is done.

    Attributes:
        rows: The number of rows that were scored.
        dropped: The number of bad rows, which were not scored.
        reasons: Why they were dropped.
        last: Whether it is the last part of the input file.
        fields: The values of each field, see `FieldCounts.counts`; None (the default) if the model
            does not tell.
    """

    rows: int
    dropped: int
    reasons: list[Dropped]
    last: bool
    fields: list[list[int]] | None = None


class PartWriter:
    """Writes a part under another name, checks it, and renames it when it is whole.

    A part that goes to a store is written to a temporary file of this machine, and sent whole.

    Args:
        job: The job that the part belongs to.
        source: The file that its rows come from.
        number: The part's number, from 0.
    """

    def __init__(self, job: Job, source: Input, number: int) -> None:
        self._job = job
        self._source = source
        self._number = number
        self._path = job.part_path(source, number)
        unique = uuid.uuid4().hex  # another worker may write the same part
        is_sent = is_remote(self._path)
        folder = tempfile.gettempdir() if is_sent else parent_of(self._path)
        self._beside = pathlib.Path(folder, f".{name_of(self._path)}.{unique}.tmp")
        self._file = open(self._beside, "wb")  # noqa: SIM115
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0
        self._dropped = 0
        self._reasons: list[Dropped] = []
        self._fields: np.ndarray | None = None

    def __enter__(self) -> PartWriter:
        return self

    def append(
        self,
        table: pa.Table,
        dropped: int,
        reasons: list[Dropped],
        fields: FieldCounts | None,
    ) -> None:
        """Writes the scores of a block.

        Args:
            table: The keys, row numbers and scores of the block's good rows.
            dropped: The number of its bad rows.
            reasons: Why they were dropped.
            fields: The values of its fields, or None if the model does not tell.

        Raises:
            DataError: If the columns are of another type than before.
        """
        if self._writer is None:
            with_dictionary = list(self._job.keys)  # scores hardly repeat, so they need none
            self._writer = pq.ParquetWriter(
                self._file, table.schema, use_dictionary=with_dictionary or False
            )
        self._check_types(table.schema, self._writer.schema)
        self._writer.write_table(table)
        self._rows += table.num_rows
        self._dropped += dropped
        self._reasons = merge([*self._reasons, *reasons])
        if fields is not None:
            before = 0 if self._fields is None else self._fields
            self._fields = before + fields.counts

    def _check_types(self, found: pa.Schema, first: pa.Schema) -> None:
        if found == first:
            return
        fields = zip(found, first, strict=True)
        names = [now.name for now, before in fields if now != before]
        raise DataError(
            f"{self._source.path}: column {names[0]!r} is stored in two ways in one file"
        )

    def finish(self, last: bool) -> None:
        """Makes the part appear in the output directory.

        Args:
            last: Whether the input file ends here.

        Raises:
            OSError: If the part cannot be written, or holds another number of rows than it should.
            DataError: If the input file has changed since the job began.
        """
        assert self._writer is not None, "a part has a block"
        done = Part(
            rows=self._rows,
            dropped=self._dropped,
            reasons=self._reasons,
            last=last,
            fields=None if self._fields is None else self._fields.tolist(),
        )
        origin = _origin(self._job, self._source)
        said = origin | {"part": self._number} | dataclasses.asdict(done)
        self._writer.add_key_value_metadata({METADATA: json.dumps(said)})
        self._writer.close()
        self._file.close()
        written = pq.read_metadata(self._beside).num_rows
        if written != self._rows:
            raise OSError(f"{self._beside}: holds {written} rows of {self._rows}")
        if look_at(self._source.path) != self._source:
            raise DataError(f"{self._source.path}: has changed since the job began; run it again")
        record = record_of(self._path)
        if not is_remote(record):
            pathlib.Path(record).parent.mkdir(exist_ok=True)
        write_json(record, manifest.entry(self._beside))  # first: a part that is there has one
        atomic.publish(self._beside, self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # the error at hand is the first and tells more
            if self._writer is not None:
                self._writer.close()
            self._file.close()
        self._beside.unlink(missing_ok=True)


def record_of(path: str) -> str:
    """Where it is noted what a part held when it was written."""
    stem = pathlib.PurePath(name_of(path)).stem
    return join(parent_of(path), RECORDS, f"{stem}.json")


def read_record(path: str) -> Entry:
    """What a part held when it was written.

    Raises:
        DamagedPartError: If that is not known.
    """
    try:
        stored = read_json(record_of(path))
        return {"bytes": int(stored["bytes"]), "sha256": str(stored["sha256"])}
    except StoreError:
        raise
    except (OSError, TypeError, KeyError, ValueError):
        raise DamagedPartError(f"{path}: nothing says what it held (no {RECORDS})") from None


def read_part(job: Job, source: Input, path: str) -> Part:
    """Reads what a part says of itself, and finds that it holds what was written.

    Raises:
        JobError: If it belongs to another job.
        DamagedPartError: If it is damaged, or nothing says what it held.
        BadRowError: If rows were dropped, and the job is to stop at bad rows.
    """
    try:
        metadata = _metadata(path)
    except StoreError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DamagedPartError(f"{path}: is damaged: {error}") from None
    stored: dict[str, Any] = json.loads(metadata.get(METADATA.encode(), b"{}"))
    for key, now in _origin(job, source).items():
        if stored.get(key) != now:
            raise JobError(f"{path}: holds scores {_of_another(key, stored.get(key), now)}")
    number = pathlib.PurePath(name_of(path)).stem.rpartition("-")[2]
    if number.isdigit() and stored.get("part") != int(number):
        raise DamagedPartError(f"{path}: is damaged: it says that it is part {stored.get('part')}")
    different = _difference(path, read_record(path))
    if different:
        raise DamagedPartError(f"{path}: is damaged: {different}")
    reasons = [Dropped(**reason) for reason in stored["reasons"]]
    part = Part(
        rows=stored["rows"],
        dropped=stored["dropped"],
        reasons=reasons,
        last=stored["last"],
        fields=stored.get("fields"),
    )
    if part.dropped and job.on_bad_row == "raise":
        raise BadRowError(f"{path}: was scored without some rows; {part.reasons[0]}")
    return part


def _metadata(path: str) -> dict[bytes, bytes]:
    """What stands in the footer of a Parquet file."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(ObjectFile(path)) if is_remote(path) else path
        found: dict[bytes, bytes] = pq.read_metadata(source).metadata or {}
    return found


def _difference(path: str, noted: Entry) -> str:
    """How a part differs from what was noted; "" if it does not. Of an object the size counts."""
    if is_remote(path):
        size = identity(path).size
        is_same = size == noted["bytes"]
        return "" if is_same else f"it has {size:,} bytes and not {noted['bytes']:,}"
    differences = manifest.differences(parent_of(path), {name_of(path): noted})
    return differences[0] if differences else ""


def _of_another(key: str, then: Any, now: Any) -> str:
    """Why a part does not belong to a job, and what to do."""
    otherwise = "give another output directory, or remove this one"
    if key == "input" and isinstance(then, dict) and then.get("path") == now["path"]:
        return f"of {now['path']} as it was when they were made; it has changed: {otherwise}"
    mend = f"--model={then} goes on with them; or {otherwise}" if key == "model" else otherwise
    return f"of another job, whose {key} is {then!r} and not {now!r}; {mend}"


def _origin(job: Job, source: Input) -> dict[str, Any]:
    """What a part was made of."""
    return job.settings | {"input": source.identity}
