"""Counts of values in parts: what a worker does to build vocabularies.

First the values of each training file are counted. The counts of a feature go to a file that has a
group of rows for each bucket of values. Then the buckets are summed, each over all files, and of
each the frequent values are kept. What travels between the two are names of files, so every worker
must find them under the same path. They lie in a folder that a killed job leaves behind and the
next one removes, so nothing waits for the disk.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import BadRows, Policy
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features import value_counts, vocabulary
from tafe_tf.features.row_counts import RowCounts
from tafe_tf.features.value_counts import Kept, ValueCount
from tafe_tf.schema import Feature, Schema
from tafe_tf.storage.addresses import is_remote, join
from tafe_tf.storage.reading import ObjectFile
from tafe_tf.storage.staging import put_file

BUCKETS = 64  # of all values; one worker sums the counts of a bucket, in memory
_COUNTS = pa.schema([("value", pa.string()), ("count", pa.int64())])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counting:
    """What all parts of the counting share.

    Attributes:
        schema: What to read.
        policy: What to do with bad rows, "raise" or "drop".
        work: The path or URI of the folder that workers write into.
        files: The training files.
    """

    schema: Schema
    policy: Policy
    work: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilePart:
    """A training file to count.

    Attributes:
        number: Its number among the training files.
        path: Its path.
    """

    number: int
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class BucketPart:
    """A bucket of values to sum.

    Attributes:
        bucket: The bucket's number.
        path: Where the frequent values of the bucket are written.
    """

    bucket: int
    path: str


def count_file(task: Counting, part: FilePart) -> Iterator[int]:
    """Writes the counts of a file's values, and the account of its rows.

    Yields:
        The number of rows of each block.
    """
    features = []
    for owner in vocabulary.vocabulary_features(task.schema):
        features += vocabulary.columns_of(task.schema, owner)
    counts: dict[str, collections.Counter[str]] = {}
    for feature in features:
        counts[feature.name] = collections.Counter()
    bad_rows = BadRows(task.policy)
    rows = RowCounts(task.schema)
    for block in read_blocks([part.path], task.schema, bad_rows=bad_rows, split=task.files):
        rows.add(block)
        for feature in features:
            counts[feature.name].update(vocabulary.values_of(feature, block))
        yield block.raw_rows
    for feature in features:
        path = _counts_of(task.work, feature.name, part.number)
        _write_counts(path, counts[feature.name])
    reasons = [dataclasses.asdict(reason) for reason in bad_rows.reasons()]
    account = {**rows.as_json(), "dropped": bad_rows.count, "reasons": reasons}
    _write_json(_account_of(task.work, part.number), account)


def _write_counts(path: str, counts: Mapping[str, int]) -> None:
    """Writes counts of values, the values of a bucket as a group of rows."""
    buckets: list[list[ValueCount]] = [[] for _ in range(BUCKETS)]
    for value, count in counts.items():
        number = zlib.crc32(value.encode()) % BUCKETS  # the same on every worker
        buckets[number].append((value, count))
    with _beside(path) as beside:
        with pq.ParquetWriter(beside, _COUNTS) as writer:
            for bucket in buckets:
                columns = {
                    "value": [value for value, _ in bucket],
                    "count": [count for _, count in bucket],
                }
                writer.write_table(pa.table(columns, _COUNTS), row_group_size=max(len(bucket), 1))
        _put(beside, path)


def bucket_parts(task: Counting) -> list[BucketPart]:
    """The buckets, as parts to sum."""
    return [BucketPart(bucket=i, path=_bucket_of(task.work, i)) for i in range(BUCKETS)]


def keep_bucket(task: Counting, part: BucketPart) -> Iterator[int]:
    """Sums a bucket over all files, and leaves its frequent values in a file, by feature.

    Yields:
        The number of rows that this adds, 0.
    """
    stored = {}
    for owner in vocabulary.vocabulary_features(task.schema):
        columns = []
        for feature in vocabulary.columns_of(task.schema, owner):
            total = _sum_of_files(task, feature, part.bucket)
            columns.append(sorted(total.items()))
        kept = value_counts.keep_of_columns(columns, owner.min_count)
        stored[owner.name] = {
            "distinct": kept.distinct,
            "counts": kept.counts,
            "rare": kept.rare,
        }
    _write_json(part.path, stored)
    yield 0


def _sum_of_files(
    task: Counting,
    feature: Feature,
    bucket: int,
) -> collections.Counter[str]:
    """The counts of a feature's values of a bucket, summed over all files."""
    total: collections.Counter[str] = collections.Counter()
    for number in range(len(task.files)):
        counts = _read_counts(_counts_of(task.work, feature.name, number), bucket)
        for value, count in counts:
            total[value] += count
    return total


def _read_counts(path: str, bucket: int) -> Iterable[ValueCount]:
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(ObjectFile(path)) if is_remote(path) else path
        table = stack.enter_context(pq.ParquetFile(source)).read_row_group(bucket)
    return zip(table["value"].to_pylist(), table["count"].to_pylist(), strict=True)


def kept_values(task: Counting) -> list[tuple[Feature, Kept]]:
    """Each feature's values from all buckets."""
    buckets = [read_json(_bucket_of(task.work, number)) for number in range(BUCKETS)]
    kept = []
    for feature in vocabulary.vocabulary_features(task.schema):
        distinct = 0
        rare = [0] * len(vocabulary.columns_of(task.schema, feature))
        counts: list[ValueCount] = []
        for bucket in buckets:
            stored = bucket[feature.name]
            distinct += stored["distinct"]
            rare = [so_far + more for so_far, more in zip(rare, stored["rare"], strict=True)]
            counts += [(value, count) for value, count in stored["counts"]]
        kept.append((feature, Kept(distinct, counts, rare)))
    return kept


def accounts(task: Counting) -> list[dict[str, Any]]:
    """The accounts of the rows of all files, in their order."""
    return [read_json(_account_of(task.work, number)) for number in range(len(task.files))]


def _account_of(work: str, number: int) -> str:
    return join(work, f"file-{number}.json")


def _bucket_of(work: str, bucket: int) -> str:
    return join(work, f"bucket-{bucket}.json")


def _counts_of(work: str, name: str, number: int) -> str:
    return join(work, f"counts-{name}-{number}.parquet")


def _write_json(path: str, value: dict[str, Any]) -> None:
    """Writes JSON beside `path` and gives it this name; another worker may write the same."""
    with _beside(path) as beside:
        beside.write_text(json.dumps(value), encoding="utf-8")
        _put(beside, path)


@contextlib.contextmanager
def _beside(path: str) -> Iterator[pathlib.Path]:
    """A name of this machine to write under before `_put`."""
    name = f"{uuid.uuid4().hex}.tmp"
    if not is_remote(path):
        yield pathlib.Path(path).with_name(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder, name)


def _put(beside: pathlib.Path, path: str) -> None:
    if is_remote(path):
        put_file(beside, path)
    else:
        os.replace(beside, path)
