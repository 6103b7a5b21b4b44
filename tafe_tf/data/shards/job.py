"""A dataset's files as shards: checked, only the columns of its schema, the same bytes whoever writes them.

<output>/train-00000-00000.parquet   what is good of the first `shard_rows` rows of the first training file, and so on
         schema.toml                 the schema that they were checked against
         prepared.json               what they were made from, rows and dropped rows; written last
         .prepare/                   until then: the settings, and a record of each shard that is whole

A shard and then its record appear by a rename, so any number of workers may write them, twice too, and a job that was
killed goes on with those that are missing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

from tafe_tf.data.atomic import write_json, write_text
from tafe_tf.data.bad_rows import Dropped, Policy
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import BLOCK_ROWS, count_rows, find_files
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.data.shards.same_job import check_same
from tafe_tf.schema import Schema

SPLITS = ("train", "valid", "test")
EXTENSIONS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz"}
PREPARED, _SETTINGS = "prepared.json", "settings.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What to make shards of, and where.

    Attributes:
        data_dir: holds the files of the splits, absolute.
        schema: the dataset.
        schema_text: its TOML.
        output: the directory for the shards, absolute; theirs alone.
        format: "parquet" or "tfrecord".
        shard_rows: rows of a file that make a shard, bad ones included; a multiple of BLOCK_ROWS, or below it.
        on_bad_row: "raise" or "drop".

    Raises:
        DataError: if one of these breaks its rule.
    """

    data_dir: str
    schema: Schema
    schema_text: str
    output: str
    format: str = "parquet"
    shard_rows: int = 16 * BLOCK_ROWS
    on_bad_row: Policy = "raise"

    def __post_init__(self) -> None:
        if self.format not in EXTENSIONS:
            raise DataError(
                f"format must be one of {', '.join(EXTENSIONS)}. Received: {self.format!r}"
            )
        if self.shard_rows < 1 or (self.shard_rows > BLOCK_ROWS and self.shard_rows % BLOCK_ROWS):
            raise DataError(
                f"shard_rows must be a multiple of {BLOCK_ROWS}, or 1 to that. Received: {self.shard_rows}"
            )

    @functools.cached_property
    def files(self) -> dict[str, list[str]]:
        """The files of each split that has some."""
        found = {
            split: find_files(self.data_dir, split, required=split == "train") for split in SPLITS
        }
        return {split: files for split, files in found.items() if files}

    def settings(self) -> dict[str, Any]:
        """What the shards depend on, with the files' sizes of now."""
        paths = [path for files in self.files.values() for path in files]
        sources = {os.path.relpath(path, self.data_dir): os.path.getsize(path) for path in paths}
        schema = hashlib.sha256(self.schema_text.encode()).hexdigest()[:16]
        settings = {"schema": schema, "format": self.format, "shard_rows": self.shard_rows}
        return settings | {"files": len(sources), "sources": sources}

    @property
    def work(self) -> pathlib.Path:
        """The hidden folder."""
        return pathlib.Path(self.output) / ".prepare"

    def shard(self, split: str, file: int, part: int) -> pathlib.Path:
        """Where a shard lies."""
        return pathlib.Path(self.output) / f"{split}-{file:05d}-{part:05d}{EXTENSIONS[self.format]}"

    def record(self, split: str, file: int, part: int) -> pathlib.Path:
        """Where its record lies."""
        return self.work / f"{split}-{file:05d}-{part:05d}.json"


class Piece(NamedTuple):
    """Parts of one file to make shards of: from `first` to before `stop`, or to the end if that is None."""

    split: str
    file: int
    first: int
    stop: int | None


class Record(NamedTuple):
    """What is known of a part that is done: its good and bad rows, and whether its file ends with it."""

    written: int
    dropped: int
    reasons: list[Dropped]
    last: bool


def begin(job: ShardJob, each_part: bool = False) -> list[Piece] | None:
    """Makes the output directory this job's own.

    Args:
        job: the job; no other process must begin it.
        each_part: give every part as a piece of its own, where the number of rows is known beforehand.

    Returns:
        What is left to do, in the order of the files; None if `finish` was reached before.

    Raises:
        DataError: if the directory holds anything else, or shards of another job; then nothing is changed.
        BadRowError: if rows were dropped for which the job must stop.
    """
    output = pathlib.Path(job.output)
    if (output / PREPARED).exists():
        known = _read(output / PREPARED)
        _check_settings(job, "was prepared", known)
        _refuse_dropped(job, known["reasons"])
        _check_shards(job, known["rows"])
        shutil.rmtree(job.work, ignore_errors=True)
        return None
    if (job.work / _SETTINGS).exists():
        _check_settings(job, "is being prepared", _read(job.work / _SETTINGS))
    else:
        visible = sorted(path.name for path in output.glob("*") if not path.name.startswith("."))
        if visible:
            raise DataError(
                f"{output}: holds {visible[0]}, which is no shard of this job; take another directory"
            )
        job.work.mkdir(parents=True, exist_ok=True)
        write_json(job.work / _SETTINGS, job.settings())
    for path in job.work.glob("*.tmp*"):  # what a killed job had begun
        path.unlink()
    write_text(output / "schema.toml", job.schema_text)
    return list(_left(job, each_part))


def _check_settings(job: ShardJob, part: str, before: dict[str, Any]) -> None:
    output, settings = pathlib.Path(job.output), job.settings()
    check_same(output, part, before["sources"], settings.pop("sources"))
    check_same(output, part, before, settings)


def _left(job: ShardJob, each_part: bool) -> Iterator[Piece]:
    for split, file, path in _sources(job):
        done = _records(job, split, file)
        total = _count_parts(job, path, done)
        missing = (
            part
            for part in (itertools.count() if total is None else range(total))
            if part not in done
        )
        if each_part and total is not None:
            yield from (Piece(split, file, part, part + 1) for part in missing)
        else:
            yield from (Piece(split, file, part, None) for part in itertools.islice(missing, 1))


def _sources(job: ShardJob) -> Iterator[tuple[str, int, str]]:
    for split, files in job.files.items():
        yield from ((split, file, path) for file, path in enumerate(files))


def _count_parts(job: ShardJob, path: str, done: dict[int, Record]) -> int | None:
    """How many parts the file has, if that is known."""
    rows = count_rows(path)
    if rows is not None:
        return max(1, math.ceil(rows / job.shard_rows))  # of a file without rows, reading complains
    return next((part + 1 for part, record in done.items() if record.last), None)


def _records(job: ShardJob, split: str, file: int) -> dict[int, Record]:
    """The parts of a file that are done, by number; one whose shard is gone is not."""
    found = {}
    for path in sorted(job.work.glob(f"{split}-{file:05d}-*.json")):
        part = int(path.stem.rpartition("-")[2])
        stored = _read(path)
        record = Record(**stored | {"reasons": [Dropped(**reason) for reason in stored["reasons"]]})
        _refuse_dropped(job, [str(reason) for reason in record.reasons])
        if not record.written or job.shard(split, file, part).exists():
            found[part] = record
    return found


def _refuse_dropped(job: ShardJob, reasons: list[str]) -> None:
    if reasons and job.on_bad_row == "raise":
        raise BadRowError(f"{job.output}: was prepared without some rows: {reasons[0]}")


def _check_shards(job: ShardJob, rows: dict[str, dict[str, int]]) -> None:
    for split, counts in rows.items():
        found = len(find_files(job.output, split, required=False))
        if found != counts["shards"]:
            had = f"{job.output}: had {counts['shards']} {split} shards when it was prepared; empty it to begin again"
            raise DataError(f"{had}. Received: {found}")


def summary(job: ShardJob) -> dict[str, Any]:
    """What was made: "rows", by split how many were "read", "written" and "dropped" and into how many "shards", and the
    "reasons" why some were dropped.

    Raises:
        DataError: if a shard is missing, no row of a split is good, or a file has changed since the job began.
    """
    _check_settings(job, "was begun", _read(job.work / _SETTINGS))
    for piece in itertools.islice(_left(job, each_part=False), 1):
        raise DataError(
            f"{job.shard(piece.split, piece.file, piece.first)}: is missing; run the job again"
        )
    rows = {
        split: dict.fromkeys(("read", "written", "dropped", "shards"), 0) for split in job.files
    }
    reasons: dict[str, list[str]] = {split: [] for split in job.files}
    for split, file, _ in _sources(job):
        records = [record for _, record in sorted(_records(job, split, file).items())]
        for written, dropped, *_ in records:
            counts = {
                "read": written + dropped,
                "written": written,
                "dropped": dropped,
                "shards": written > 0,
            }
            rows[split] = {key: rows[split][key] + count for key, count in counts.items()}
        reasons[split] += map(str, merge(reason for record in records for reason in record.reasons))
    for split, counts in rows.items():
        if not counts["written"]:
            raise DataError(
                f"{job.data_dir}: no row of the {split!r} files is good; {reasons[split][0]}"
            )
    return {"rows": rows, "reasons": [reason for found in reasons.values() for reason in found]}


def finish(job: ShardJob, counts: dict[str, Any]) -> None:
    """Notes that all is done, and removes what killed runs left.

    Args:
        job: the job.
        counts: its `summary`.
    """
    output = pathlib.Path(job.output)
    write_json(output / PREPARED, job.settings() | counts)
    for path in (job.work, *output.glob(".vocabulary-*")):
        shutil.rmtree(path)


def _read(path: pathlib.Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
