"""Shards and vocabularies by Apache Beam pipelines (extra [beam]): the same bytes as `shards` and `vocabulary` write.

What travels to the workers is names of files; they read and write them where they lie, so these must be found under the
same path everywhere. Between the workers travel counts of values.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import pathlib
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from tafe_tf.data.bad_rows import BadRows, Dropped, Policy
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines.beam import pipeline
from tafe_tf.features import vocabulary
from tafe_tf.schema import Schema

BUCKETS = 64  # of a feature's values: each is sorted out by one worker, in memory

_Value = tuple[str, str]  # a feature's name, and one of its values


def write_shards(job: ShardJob, left: Sequence[Piece], options: Sequence[str]) -> None:
    """Writes what is left of a job.

    Args:
        job: the job.
        left: as `begin` gives it.
        options: of Beam, `--runner` among them.

    Raises:
        PipelineError: with the reason that the worker gave, a bad row's file, row, column and value say.
    """
    if left:
        pipeline.run(left, "Write" >> beam.FlatMap(functools.partial(convert, job)), options)


class _Count(NamedTuple):
    """What the workers that count need to know."""

    schema: Schema
    policy: Policy
    work: pathlib.Path


def build(
    files: list[str],
    schema: Schema,
    directory: str | pathlib.Path,
    policy: Policy,
    options: Sequence[str],
) -> list[Dropped]:
    """Writes vocabularies and statistics, as `vocabulary.build` does.

    Args:
        files: the training shards, absolute; a file is read by one worker.
        schema: the dataset.
        directory: made if it is not there, absolute.
        policy: "raise" at bad rows, or "drop" them.
        options: of Beam, `--runner` among them.

    Returns:
        What was dropped.

    Raises:
        PipelineError: with the reason that the worker gave.
        SchemaError: if a value holds a line break, which a vocabulary file cannot.
    """
    with vocabulary.beside(directory) as work:
        task = _Count(schema, policy, work)
        steps = (
            "Count" >> beam.FlatMap(functools.partial(_count, task))
            | "Sum" >> beam.CombinePerKey(sum)
            | "Bucket" >> beam.Map(_bucket)
            | "Group" >> beam.GroupByKey()
            | "Keep" >> beam.Map(functools.partial(_keep, task))
        )
        pipeline.run(list(enumerate(files)), steps, options)
        counted = [_read(work / f"file-{index}.json") for index in range(len(files))]
        kept = (
            (feature, _kept(work, feature.name))
            for feature in vocabulary.vocabulary_features(schema)
        )
        rows = sum(item["rows"] for item in counted)
        positives = np.sum([item["positives"] for item in counted], axis=0).tolist()
        vocabulary.publish(work, files, schema, rows, positives, kept)
    return [Dropped(**reason) for item in counted for reason in item["reasons"]]


def _count(task: _Count, source: tuple[int, str]) -> Iterator[tuple[_Value, int]]:
    """Counts of a file's values, block by block; rows, labels and bad rows are left in a file."""
    index, path = source
    bad_rows = BadRows(task.policy)
    rows, positives = 0, np.zeros(len(task.schema.tasks), np.int64)
    for block in read_blocks([path], task.schema, bad_rows=bad_rows):
        rows += len(block.row)
        positives += block.labels.sum(axis=0, dtype=np.int64)
        for feature in vocabulary.vocabulary_features(task.schema):
            counts = collections.Counter(vocabulary.values_of(feature, block))
            yield from (((feature.name, value), count) for value, count in counts.items())
    reasons = [dataclasses.asdict(reason) for reason in bad_rows.reasons()]
    counted = {"rows": rows, "positives": positives.tolist(), "reasons": reasons}
    _write(task.work / f"file-{index}.json", counted)


def _bucket(item: tuple[_Value, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """Values of a feature by a hash that is the same on every worker."""
    (name, value), count = item
    return (name, zlib.crc32(value.encode()) % BUCKETS), (value, count)


def _keep(task: _Count, item: tuple[tuple[str, int], Iterable[tuple[str, int]]]) -> None:
    (name, bucket), counts = item
    feature = next(feature for feature in task.schema.features if feature.name == name)
    kept = vocabulary.keep(counts, feature.min_count)
    _write(
        task.work / f"values-{name}-{bucket}.json",
        {"distinct": kept.distinct, "counts": kept.counts},
    )


def _kept(work: pathlib.Path, name: str) -> vocabulary.Kept:
    """A feature's values from all buckets."""
    buckets = [_read(path) for path in work.glob(f"values-{name}-*.json")]
    counts = [(value, count) for bucket in buckets for value, count in bucket["counts"]]
    return vocabulary.Kept(sum(bucket["distinct"] for bucket in buckets), counts)


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
    """Writes beside `path` and renames; another worker may write the same."""
    beside = path.with_name(f"{uuid.uuid4().hex}.tmp")
    beside.write_text(json.dumps(value), encoding="utf-8")
    os.replace(beside, path)


def _read(path: pathlib.Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
