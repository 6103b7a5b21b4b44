"""Vocabularies and row statistics, from one streaming pass over the training files."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import heapq
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features.graph import vocabulary_file
from tafe_tf.schema import ABSENT, Feature, Schema, SchemaError

MAX_DISTINCT = 20_000_000  # values held in memory before counts go to disk; about 2 GB


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is left of a feature's values.

    Attributes:
        distinct: number of different values, rare ones included.
        counts: the values that are frequent enough, each once, and their counts.
        first: values that keep their places before all others, whatever their counts.
    """

    distinct: int
    counts: list[tuple[str, int]]
    first: Sequence[str] = ()

    @property
    def values(self) -> list[str]:
        """`first`, then the other values, the most frequent first, equals in code point order."""
        placed = set(self.first)
        others = sorted((-count, value) for value, count in self.counts if value not in placed)
        return [*self.first, *(value for _, value in others)]


def keep(counts: Iterable[tuple[str, int]], min_count: int, known: Collection[str] = ()) -> Kept:
    """Those of different values that have at least `min_count` occurrences, or are known."""
    distinct, kept = 0, []
    for value, count in counts:
        distinct += 1
        if count >= min_count or value in known:
            kept.append((value, count))
    return Kept(distinct, kept)


class ValueCounts:
    """Counts values, on disk once there are too many: any number of rows, any number of distinct values.

    Args:
        directory: for the sorted runs that do not fit in memory.
        max_distinct: number of values that fit.
    """

    def __init__(self, directory: str | pathlib.Path, max_distinct: int = MAX_DISTINCT) -> None:
        self._directory, self._max_distinct = pathlib.Path(directory), max_distinct
        self._counts: collections.Counter[str] = collections.Counter()
        self._runs: list[pathlib.Path] = []

    def add(self, values: Iterable[str]) -> None:
        """Counts each value once more."""
        self._counts.update(values)
        if len(self._counts) > self._max_distinct:
            path = self._directory / f"run{id(self)}-{len(self._runs)}"
            with open(
                path, "w", encoding="utf-8"
            ) as file:  # as JSON, since a value may hold a line break
                file.writelines(json.dumps(item) + "\n" for item in sorted(self._counts.items()))
            self._runs.append(path)
            self._counts.clear()

    def keep(self, min_count: int, known: Collection[str] = ()) -> Kept:
        """The values with at least `min_count` occurrences, and those known that occur at all."""
        runs = [_read_run(path) for path in self._runs]
        merged = heapq.merge(*runs, sorted(self._counts.items()), key=lambda item: item[0])
        groups = itertools.groupby(merged, key=lambda item: item[0])
        return keep(
            ((value, sum(item[1] for item in items)) for value, items in groups), min_count, known
        )


def _read_run(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            value, count = json.loads(line)
            yield value, count


@dataclasses.dataclass(frozen=True)
class Counted:
    """What a pass over training files counts.

    Attributes:
        rows: in all files.
        positives: rows whose label is 1, for each task.
        values: of each feature that has a vocabulary, by name.
    """

    rows: int
    positives: list[int]
    values: dict[str, ValueCounts]


def count(files: list[str], schema: Schema, work: pathlib.Path, bad_rows: BadRows) -> Counted:
    """One pass over the training shards, with `work` (see `beside`) for what does not fit in memory.

    Raises:
        DataError: on a bad file, or on a bad row unless `bad_rows` drops them.
        SchemaError: if a value is no UTF-8.
    """
    features = vocabulary_features(schema)
    values = {feature.name: ValueCounts(work) for feature in features}
    rows, positives = 0, np.zeros(len(schema.tasks), np.int64)
    for block in read_blocks(files, schema, bad_rows=bad_rows):
        rows += len(block.row)
        positives += block.labels.sum(axis=0, dtype=np.int64)
        for feature in features:
            values[feature.name].add(values_of(feature, block))
    return Counted(rows, positives.tolist(), values)


def build(
    files: list[str], schema: Schema, directory: str | pathlib.Path, bad_rows: BadRows
) -> dict[str, Any]:
    """Writes `vocabulary/<feature>.txt` and `statistics.json` into `directory`, all or nothing.

    Args:
        files: the training shards.
        schema: the dataset.
        directory: made if it is not there; usually the schema's or the run's own.
        bad_rows: what to do with bad rows.

    Returns:
        The statistics, see `publish`.

    Raises:
        DataError: on a bad file, or on a bad row unless `bad_rows` drops them.
        SchemaError: if a value is no UTF-8, or holds a line break, which a vocabulary file cannot.
    """
    with beside(directory) as work:
        counted = count(files, schema, work, bad_rows)
        features = vocabulary_features(schema)
        kept = (
            (feature, counted.values[feature.name].keep(feature.min_count)) for feature in features
        )
        return publish(work, files, schema, counted.rows, counted.positives, kept)


def vocabulary_features(schema: Schema) -> list[Feature]:
    """The features that have a vocabulary."""
    return [feature for feature in schema.features if feature.kind == "vocabulary"]


def values_of(feature: Feature, block: Block) -> Iterable[str]:
    """A block's values of a feature as its vocabulary spells them, without missing ones.

    Raises:
        SchemaError: if one is no UTF-8.
    """
    flat = block.columns[feature.column].reshape(-1)
    if feature.dtype == "int64":
        return map(str, flat[flat != ABSENT["int64"]].tolist())
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in flat.tolist()]
    except UnicodeDecodeError as error:
        raise _unfit(feature, "is no UTF-8", error.object) from None
    return filter(None, texts)


def _unfit(feature: Feature, what: str, value: str | bytes) -> SchemaError:
    return SchemaError(
        f"feature {feature.name!r}: a value {what}; use kind 'hash'. Received: {value!r}"
    )


@contextlib.contextmanager
def beside(directory: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder inside `directory`, which is made if need be, for what `publish` moves up; gone at the end."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vocabulary-", dir=directory) as work:
        yield pathlib.Path(work)


def publish(
    work: pathlib.Path,
    files: list[str],
    schema: Schema,
    rows: int,
    positives: Sequence[int],
    kept: Iterable[tuple[Feature, Kept]],
    grown_from: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes vocabularies and statistics into `work` and moves them into the directory that it lies in.

    Args:
        work: see `beside`.
        files: the training shards.
        schema: the dataset.
        rows: in all files.
        positives: rows whose label is 1, for each task.
        kept: the vocabulary of each feature that has one.
        grown_from: the fingerprint of the vocabularies to which these files only add, if there are any.

    Returns:
        The statistics: "rows", the "rate" of every task, the vocabularies' sizes, the number of "distinct" values
        behind each, and what they are "made_from".

    Raises:
        SchemaError: if a value holds a line break, which a vocabulary file cannot.
    """
    sizes, distinct = {}, {}
    for feature, values in kept:
        sizes[feature.name] = _write(vocabulary_file(work, feature), feature, values.values)
        distinct[feature.name] = values.distinct
    statistics = {
        "rows": rows,
        "rate": {
            task.name: count / max(rows, 1)
            for task, count in zip(schema.tasks, positives, strict=True)
        },
        "vocabulary": sizes,
        "distinct": distinct,
        "made_from": fingerprint(files, schema, *grown_from),
    }
    _move(work, statistics)
    return statistics


def fingerprint(files: list[str], schema: Schema, *grown_from: str) -> str:
    """A hash of the schema and of the files' names and sizes: vocabularies of the same one need not be built again.

    `grown_from` is that of the vocabularies to which the files only add.
    """
    sources = [(pathlib.Path(file).name, os.path.getsize(file)) for file in files]
    return hashlib.blake2b(
        repr((schema, sources, *grown_from)).encode(), digest_size=16
    ).hexdigest()


def reuse(
    files: list[str], schema: Schema, prepared: str | pathlib.Path, directory: str | pathlib.Path
) -> bool:
    """Copies the vocabularies of `prepared` into `directory` if they were built from these files and this schema."""
    prepared, directory = pathlib.Path(prepared), pathlib.Path(directory)
    path = prepared / "statistics.json"
    if not path.exists():
        return False
    statistics = json.loads(path.read_text(encoding="utf-8"))
    if statistics.get("made_from") != fingerprint(files, schema):
        return False
    with beside(directory) as work:
        shutil.copytree(prepared / "vocabulary", work / "vocabulary")
        _move(work, statistics)
    return True


def read(directory: str | pathlib.Path, feature: Feature) -> list[str]:
    """A feature's values, in the order of their ids."""
    with open(vocabulary_file(directory, feature), encoding="utf-8", newline="\n") as file:
        return [line[:-1] for line in file]


def _write(path: pathlib.Path, feature: Feature, values: list[str]) -> int:
    broken = next((value for value in values if "\n" in value or "\r" in value), None)
    if broken is not None:
        raise _unfit(feature, "holds a line break", broken)
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{value}\n" for value in values)
    return len(values)


def _move(work: pathlib.Path, statistics: dict[str, Any]) -> None:
    """Moves what was written one folder up; the statistics come last, so their presence says that all is there."""
    directory = work.parent
    (directory / "statistics.json").unlink(missing_ok=True)
    shutil.rmtree(directory / "vocabulary", ignore_errors=True)
    (work / "vocabulary").mkdir(exist_ok=True)
    os.rename(work / "vocabulary", directory / "vocabulary")
    (work / "statistics.json").write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
    os.rename(work / "statistics.json", directory / "statistics.json")
