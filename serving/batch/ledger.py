"""Which parts of a batch-scoring job are done, and which are left.

A job's output directory holds:

    _job.json                what was asked for: model, settings, input files
    <input>-00000.parquet    the scores of an input file's first `rows_per_shard` rows, and so on
    _parts/                  what each of these files held when it was written, a SHA-256
    _SUCCESS.json            rows and dropped rows by input file, and all of _parts; written last

A part that is there and holds what was written is done, because it appeared by a rename, or was
sent whole to a store. Its metadata say what it was made of.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tafe_tf.data.atomic import remove_left_over, write_json
from tafe_tf.data.bad_rows import check_parts
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.manifest import Entry
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.serving.batch.job import Input, Job
from tafe_tf.serving.batch.part_files import (
    RECORDS,
    DamagedPartError,
    Part,
    read_part,
    read_record,
)
from tafe_tf.serving.batch.settings import JobError
from tafe_tf.storage.addresses import is_hidden, is_remote, join, name_of
from tafe_tf.storage.listing import entries
from tafe_tf.storage.sending import remove

_JOB, _SUCCESS = "_job.json", "_SUCCESS.json"
_REQUESTS = 16  # of a store at a time
_PART = re.compile(r"(.+)-(\d{5,})\.parquet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """Parts of one input file that are scored in one go.

    Attributes:
        source: The input file.
        first: The number of the first part.
        stop: The number after that of the last part, or None for all parts to the file's end.
    """

    source: Input
    first: int
    stop: int | None

    @property
    def path(self) -> str:
        """The path of the input file."""
        return self.source.path

    def rows(self, rows_per_shard: int) -> int | None:
        """The number of rows in these parts, or None if it is not known."""
        end = self.source.rows
        if end is None:
            return None
        if self.stop is not None:
            end = min(end, self.stop * rows_per_shard)
        return end - self.first * rows_per_shard


def claim(job: Job, each_part: bool = False) -> list[Shard]:
    """Makes the output directory this job's own, and removes what a killed run left half-written.

    Prints a line for each part that is damaged. Its rows are left to score.

    Args:
        job: The job; its directory must be locked.
        each_part: Return every part as a shard of its own, for files whose number of rows is known
            beforehand. By default parts that follow each other are one shard.

    Returns:
        What is left to score, in the order of the files.

    Raises:
        JobError: If the directory holds anything else, or scores of another job; then nothing is
            changed.
    """
    output = job.output
    if not is_remote(output):
        pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    names = [name_of(entry.path) for entry in entries(output)]
    visible = [name for name in names if not is_hidden(name)]
    if visible and _JOB not in names:
        raise JobError(
            f"{output}: holds {visible[0]}, which is no batch-scoring job; give another directory"
        )
    done, damaged = done_parts(job)
    for text in damaged:
        print(f"{text}; its rows are scored again", flush=True)
    left = _shards(job, done, each_part)
    _remove_half_written(output)
    if left:
        remove(join(output, _SUCCESS))
    identities = [source.identity for source in job.inputs]
    write_json(join(output, _JOB), job.settings | {"inputs": identities})
    return left


def _remove_half_written(output: str) -> None:
    """Removes what killed processes and workers were writing."""
    if is_remote(output):  # where nothing is half-written
        return
    directory = pathlib.Path(output)
    for path in directory.glob(".*.parquet.*.tmp"):
        path.unlink(missing_ok=True)
    for folder in (directory, directory / RECORDS):
        remove_left_over(folder)


def done_parts(job: Job) -> tuple[dict[Input, dict[int, Part]], list[str]]:
    """The parts that are done, by input file and number, and a text for each that is damaged.

    Every part is read: a second for each GB. In a store its size is compared, and its footer read.

    Raises:
        JobError: If one belongs to another job.
        BadRowError: If rows were dropped, and the job is to stop at bad rows.
    """
    damaged = []
    by_stem = {source.stem: source for source in job.inputs}
    done: dict[Input, dict[int, Part]] = {source: {} for source in job.inputs}
    found = []
    for entry in entries(job.output):
        name = name_of(entry.path)
        if not entry.is_file or is_hidden(name) or not name.endswith(".parquet"):
            continue
        match = _PART.fullmatch(name)
        if match is None or match[1] not in by_stem:
            raise JobError(
                f"{entry.path}: belongs to no input file of this job; "
                "give another directory, or remove it"
            )
        found.append((by_stem[match[1]], int(match[2]), entry.path))

    def read(part: tuple[Input, int, str]) -> Part | DamagedPartError:
        source, _, path = part
        try:
            return read_part(job, source, path)
        except DamagedPartError as error:
            return error

    requests = _REQUESTS if is_remote(job.output) else 1
    with ThreadPoolExecutor(requests) as pool:
        for (source, number, _), part in zip(found, pool.map(read, found), strict=True):
            if isinstance(part, DamagedPartError):
                damaged.append(str(part))
            else:
                done[source][number] = part
    return done, damaged


def _shards(job: Job, done: dict[Input, dict[int, Part]], each_part: bool) -> list[Shard]:
    """What is left to score."""
    left: list[Shard] = []
    for source, parts in done.items():
        for first, stop in _gaps(parts, _count_parts(job, source, parts)):
            if each_part and stop is not None and source.rows is not None:
                numbers = range(first, stop)
                left += [Shard(source=source, first=n, stop=n + 1) for n in numbers]
            else:
                left.append(Shard(source=source, first=first, stop=stop))
    return left


def _count_parts(job: Job, source: Input, parts: dict[int, Part]) -> int | None:
    """The number of a file's parts, or None if it is not known."""
    if source.rows is not None:
        count = math.ceil(source.rows / job.rows_per_shard)
        return max(count, 1)  # a file without rows has a part as well
    for number, part in parts.items():
        if part.last:
            return number + 1
    return None


def _gaps(done: Iterable[int], total: int | None) -> Iterator[tuple[int, int | None]]:
    """The runs of part numbers that are not done, each as its first number and the one after it."""
    first = 0
    for number in [*sorted(done), total]:
        if number is None or number > first:
            yield first, number
        first = first if number is None else number + 1


def finish(job: Job) -> dict[str, Any]:
    """Counts what was scored, and writes `_SUCCESS.json`.

    What a killed worker was writing is removed, for whoever lists the directory.

    Returns:
        The content of `_SUCCESS.json`: "rows" and "dropped", the numbers of rows that were scored
        and left out, and "inputs", which has for each input file's path these two, its number of
        "parts", and the "reasons" why rows were dropped. Under "fields" are the counts of the
        fields' values, see `FieldCounts.as_json`, or None if the model does not tell, and under
        "training" the shares of the training rows. Under "files" is what each part holds.

    Raises:
        JobError: If a part is missing or damaged, or no input file holds a row.
        BadRowError: If more rows were dropped than `max_bad_rows` allows.
    """
    done, damaged = done_parts(job)
    if damaged:
        raise JobError(f"{damaged[0]}; run the job again")
    left = _shards(job, done, each_part=False)
    if left:
        missing = job.part_path(left[0].source, left[0].first)
        raise JobError(f"{missing}: is missing; run the job again")
    inputs = {source.path: _summary(parts) for source, parts in done.items()}
    summary = {
        "rows": sum(item["rows"] for item in inputs.values()),
        "dropped": sum(item["dropped"] for item in inputs.values()),
        "inputs": inputs,
        "fields": _fields(job, itertools.chain.from_iterable(map(dict.values, done.values()))),
        "training": job.training_shares,
        "files": _files(job, done),
    }
    if summary["rows"] + summary["dropped"] == 0:
        raise JobError(f"{', '.join(inputs)}: holds no rows")
    parts = itertools.chain.from_iterable(map(dict.values, done.values()))
    reasons = itertools.chain.from_iterable(part.reasons for part in parts)
    rows = summary["rows"] + summary["dropped"]
    check_parts(job.max_bad_rows, summary["dropped"], rows, merge(reasons))
    _remove_half_written(job.output)
    write_json(join(job.output, _SUCCESS), summary)
    return summary


def _files(job: Job, done: dict[Input, dict[int, Part]]) -> dict[str, Entry]:
    """What every part holds, by its name."""
    files = {}
    for source, parts in done.items():
        for number in sorted(parts):
            path = job.part_path(source, number)
            files[name_of(path)] = read_record(path)
    return files


def _fields(job: Job, parts: Iterable[Part]) -> dict[str, Any] | None:
    """The values of the fields in all parts; None if some part does not know them."""
    counts = FieldCounts([feature.name for feature in job.schema.counted_features])
    for part in parts:
        if part.fields is None:
            return None
        counts.merge(np.array(part.fields))
    return counts.as_json()


def _summary(parts: dict[int, Part]) -> dict[str, Any]:
    """One input file's entry in `_SUCCESS.json`."""
    in_order = [parts[number] for number in sorted(parts)]
    reasons = merge(itertools.chain.from_iterable(part.reasons for part in in_order))
    return {
        "parts": len(in_order),
        "rows": sum(part.rows for part in in_order),
        "dropped": sum(part.dropped for part in in_order),
        "reasons": [str(reason) for reason in reasons],
    }
