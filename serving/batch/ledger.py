"""What of a batch-scoring job is done, and what is left.

<output>/_job.json                what was asked: model, settings, input files
         <input>-00000.parquet    scores of the first `rows_per_shard` rows of an input file, and so on
         _SUCCESS.json            rows and dropped rows by input file; written last

A part that is there is done: it appeared by a rename, and its metadata says what it was made of.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tafe_tf.data.atomic import write_json
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.serving.batch.job import Input, Job, JobError
from tafe_tf.serving.batch.part_files import Part, read_part

_JOB, _SUCCESS = "_job.json", "_SUCCESS.json"
_PART = re.compile(r"(.+)-(\d{5,})\.parquet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """Parts of one input file to score in one go: from `first` to before `stop`, or to the end if that is None."""

    source: Input
    first: int
    stop: int | None

    def rows(self, rows_per_shard: int) -> int | None:
        """How many rows these are, if that is known."""
        if self.source.rows is None:
            return None
        end = (
            self.source.rows
            if self.stop is None
            else min(self.source.rows, self.stop * rows_per_shard)
        )
        return end - self.first * rows_per_shard


def claim(job: Job, each_part: bool = False) -> list[Shard]:
    """Makes the output directory this job's own and removes what a killed run left half-written.

    Args:
        job: the job; no other process must be at it.
        each_part: give every part as a shard of its own, where the number of rows is known beforehand.

    Returns:
        What is left to score, in the order of the files.

    Raises:
        JobError: if the directory holds anything else, or scores of another job; then nothing is changed.
    """
    output = pathlib.Path(job.output)
    output.mkdir(parents=True, exist_ok=True)
    visible = [path for path in output.iterdir() if not path.name.startswith(".")]
    if visible and not (output / _JOB).exists():
        raise JobError(
            f"{output}: holds {visible[0].name}, which is no batch-scoring job; give another directory"
        )
    left = _shards(job, done_parts(job), each_part)
    for path in output.glob(".*.parquet.*.tmp"):
        path.unlink()
    if left:
        (output / _SUCCESS).unlink(missing_ok=True)
    write_json(output / _JOB, job.settings | {"inputs": [source.identity for source in job.inputs]})
    return left


def done_parts(job: Job) -> dict[Input, dict[int, Part]]:
    """The parts that are there, by number.

    Raises:
        JobError: if one is damaged or belongs to another job.
        BadRowError: if rows were dropped for which the job must stop.
    """
    by_stem = {source.stem: source for source in job.inputs}
    done: dict[Input, dict[int, Part]] = {source: {} for source in job.inputs}
    for path in sorted(pathlib.Path(job.output).glob("*.parquet")):
        if path.name.startswith("."):
            continue
        match = _PART.fullmatch(path.name)
        if match is None or match[1] not in by_stem:
            raise JobError(
                f"{path}: belongs to no input file of this job; give another directory, or remove it"
            )
        source = by_stem[match[1]]
        done[source][int(match[2])] = read_part(job, source, path)
    return done


def _shards(job: Job, done: dict[Input, dict[int, Part]], each_part: bool) -> list[Shard]:
    left = []
    for source, parts in done.items():
        for first, stop in _gaps(parts, _count_parts(job, source, parts)):
            if each_part and stop is not None and source.rows is not None:
                left += [
                    Shard(source=source, first=number, stop=number + 1)
                    for number in range(first, stop)
                ]
            else:
                left.append(Shard(source=source, first=first, stop=stop))
    return left


def _count_parts(job: Job, source: Input, parts: dict[int, Part]) -> int | None:
    """How many parts the file has, if that is known."""
    if source.rows is not None:
        return max(
            1, math.ceil(source.rows / job.rows_per_shard)
        )  # of a file without rows, reading complains
    return next((number + 1 for number, part in parts.items() if part.last), None)


def _gaps(done: Iterable[int], total: int | None) -> Iterator[tuple[int, int | None]]:
    """Runs of numbers, from one to before the other, that are not done."""
    first = 0
    for number in [*sorted(done), total]:
        if number is None or number > first:
            yield first, number
        first = first if number is None else number + 1


def finish(job: Job) -> dict[str, Any]:
    """Counts what was done, and notes that nothing is left.

    Returns:
        "rows", "dropped", and by input file ("inputs") the same, the number of parts, and why rows were dropped.

    Raises:
        JobError: if a part is missing.
    """
    done = done_parts(job)
    left = _shards(job, done, each_part=False)
    if left:
        raise JobError(
            f"{job.part_path(left[0].source, left[0].first)}: is missing; run the job again"
        )
    inputs = {source.path: _summary(parts) for source, parts in done.items()}
    summary = {
        "rows": sum(item["rows"] for item in inputs.values()),
        "dropped": sum(item["dropped"] for item in inputs.values()),
        "inputs": inputs,
    }
    write_json(pathlib.Path(job.output) / _SUCCESS, summary)
    return summary


def _summary(parts: dict[int, Part]) -> dict[str, Any]:
    return {
        "parts": len(parts),
        "rows": sum(part.rows for part in parts.values()),
        "dropped": sum(part.dropped for part in parts.values()),
        "reasons": [
            str(reason)
            for reason in merge(r for _, part in sorted(parts.items()) for r in part.reasons)
        ],
    }
