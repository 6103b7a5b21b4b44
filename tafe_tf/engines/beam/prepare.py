"""Preparation by Apache Beam pipelines (extra `[beam]`).

What travels to the workers is names of files: they read and write the files where these lie, so
every worker must find them under the same path. Between the workers travel counts of values.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import pathlib
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from tafe_tf.data.atomic import publish, read_json
from tafe_tf.data.bad_rows import BadRows, Dropped, Policy, check_parts
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines.beam import pipeline
from tafe_tf.engines.preparation import VocabularyJob
from tafe_tf.features import value_counts, vocabulary
from tafe_tf.features.row_counts import RowCounts
from tafe_tf.features.value_counts import Kept, ValueCount
from tafe_tf.schema import Schema

BUCKETS = 64  # of a feature's values; one worker sorts out the values of a bucket, in memory

_Value = tuple[str, str]  # a feature's name, and one of its values
_Bucket = tuple[str, int]  # a feature's name, and the number of one of its buckets


class BeamEngine:
    """Prepares on the workers of a Beam runner.

    Args:
        options: Beam's options, `--runner` among them.
    """

    each_part = True

    def __init__(self, options: Sequence[str]) -> None:
        self._options = options

    def write_shards(self, job: ShardJob, left: Sequence[Piece]) -> None:
        """Writes what is left of a job.

        Raises:
            PipelineError: With the reason that the worker gave, such as a bad row's file and row.
        """
        if left:
            step = "Write" >> beam.FlatMap(functools.partial(convert, job))
            pipeline.run(left, step, self._options)

    def build_vocabularies(self, job: VocabularyJob) -> list[Dropped]:
        """Writes vocabularies and statistics, and returns which rows were dropped.

        One worker reads a file.

        Raises:
            PipelineError: With the reason that the worker gave.
            BadRowError: If more rows were dropped than `max_bad_rows` allows.
        """
        with vocabulary.beside(job.directory) as work:
            task = _Count(job.schema, job.on_bad_row, work, tuple(job.files))
            pipeline.run(
                list(enumerate(job.files)),
                _counting(task),
                self._options,
            )
            counted = []
            for index in range(len(job.files)):
                counted.append(read_json(work / f"file-{index}.json"))
            reasons = []
            for item in counted:
                reasons += [Dropped(**reason) for reason in item["reasons"]]
            dropped = sum(item["dropped"] for item in counted)
            rows = dropped + sum(item["rows"] for item in counted)
            check_parts(job.max_bad_rows, dropped, rows, reasons)
            _publish(work, job, counted)
        return reasons


class _Count(NamedTuple):
    """What the workers that count need to know."""

    schema: Schema
    policy: Policy
    work: pathlib.Path
    files: tuple[str, ...]


def _counting(task: _Count) -> Any:
    return (
        "Count" >> beam.FlatMap(functools.partial(_count, task))
        | "Sum" >> beam.CombinePerKey(sum)
        | "Bucket" >> beam.Map(_bucket)
        | "Group" >> beam.GroupByKey()
        | "Keep" >> beam.Map(functools.partial(_keep, task))
    )


def _publish(
    work: pathlib.Path,
    job: VocabularyJob,
    counted: list[dict[str, Any]],
) -> None:
    rows = RowCounts(job.schema)
    for item in counted:
        rows.add_json(item)
    if rows.rows == 0 and not any(item["reasons"] for item in counted):
        raise DataError(f"{', '.join(job.files)}: holds no rows")
    features = vocabulary.vocabulary_features(job.schema)
    kept = ((feature, _kept(work, feature.name)) for feature in features)
    vocabulary.publish(
        work,
        list(job.files),
        job.schema,
        rows,
        kept,
    )


def _count(
    task: _Count,
    source: tuple[int, str],
) -> Iterator[tuple[_Value, int]]:
    """Counts of a file's values, block by block; rows, labels and bad rows are left in a file."""
    index, path = source
    features = vocabulary.vocabulary_features(task.schema)
    bad_rows = BadRows(task.policy)
    rows = RowCounts(task.schema)
    for block in read_blocks([path], task.schema, bad_rows=bad_rows, split=task.files):
        rows.add(block)
        for feature in features:
            values = vocabulary.values_of(feature, block)
            counts = collections.Counter(values)
            for value, count in counts.items():
                yield (feature.name, value), count
    reasons = [dataclasses.asdict(reason) for reason in bad_rows.reasons()]
    counted = {**rows.as_json(), "dropped": bad_rows.count, "reasons": reasons}
    _write(task.work / f"file-{index}.json", counted)


def _bucket(item: tuple[_Value, int]) -> tuple[_Bucket, ValueCount]:
    """Values of a feature by a hash that is the same on every worker."""
    (name, value), count = item
    bucket = zlib.crc32(value.encode()) % BUCKETS
    return (name, bucket), (value, count)


def _keep(task: _Count, item: tuple[_Bucket, Iterable[ValueCount]]) -> None:
    """Leaves the frequent values of a bucket in a file."""
    (name, bucket), counts = item
    named = {feature.name: feature for feature in task.schema.features}
    feature = named[name]
    kept = value_counts.keep(counts, feature.min_count)
    stored = {
        "distinct": kept.distinct,
        "counts": kept.counts,
        "rare": kept.rare,
    }
    _write(task.work / f"values-{name}-{bucket}.json", stored)


def _kept(work: pathlib.Path, name: str) -> Kept:
    """A feature's values from all buckets."""
    distinct = 0
    rare = 0
    counts: list[ValueCount] = []
    for path in work.glob(f"values-{name}-*.json"):
        bucket = read_json(path)
        distinct += bucket["distinct"]
        rare += bucket["rare"]
        counts += [(value, count) for value, count in bucket["counts"]]
    return Kept(distinct, counts, rare)


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
    """Writes JSON beside `path` and renames it; another worker may write the same."""
    beside = path.with_name(f"{uuid.uuid4().hex}.tmp")
    beside.write_text(json.dumps(value), encoding="utf-8")
    publish(beside, path)
