"""Vocabularies and row statistics, from one streaming pass over the training files."""

from __future__ import annotations

import collections
import hashlib
import heapq
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from tafe_tf.data.files import read_blocks
from tafe_tf.data.rows import BadRows
from tafe_tf.features import vocabulary_file
from tafe_tf.schema import ABSENT, Feature, Schema, SchemaError

MAX_DISTINCT = 20_000_000  # values held in memory before counts go to disk; about 2 GB


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
            with open(path, "w", encoding="utf-8") as file:  # as JSON, since a value may hold a line break
                file.writelines(json.dumps(item) + "\n" for item in sorted(self._counts.items()))
            self._runs.append(path)
            self._counts.clear()

    def most_common(self, min_count: int) -> list[str]:
        """The values with at least `min_count` occurrences, the most frequent first, equals in code point order."""
        runs = [_read_run(path) for path in self._runs]
        merged = heapq.merge(*runs, sorted(self._counts.items()), key=lambda item: item[0])
        kept = []
        for value, items in itertools.groupby(merged, key=lambda item: item[0]):
            count = sum(item[1] for item in items)
            if count >= min_count:
                kept.append((-count, value))
        return [value for _, value in sorted(kept)]


def _read_run(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            value, count = json.loads(line)
            yield value, count


def build(files: list[str], schema: Schema, directory: str | pathlib.Path, bad_rows: BadRows) -> dict[str, object]:
    """Writes `vocabulary/<feature>.txt` and `statistics.json` into `directory`, all or nothing.

    Args:
        files: the training shards.
        schema: the dataset.
        directory: made if it is not there; usually the schema's or the run's own.
        bad_rows: what to do with bad rows.

    Returns:
        The statistics: "rows", the "rate" of every task, the vocabularies' sizes, and what they are "made_from".

    Raises:
        DataError: on a bad file, or on a bad row unless `bad_rows` drops them.
        SchemaError: if a value holds a line break, which a vocabulary file cannot.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    features = [feature for feature in schema.features if feature.kind == "vocabulary"]
    with tempfile.TemporaryDirectory(prefix=".vocabulary-", dir=directory) as beside:
        counts = {feature.name: ValueCounts(beside) for feature in features}
        rows, positives = 0, np.zeros(len(schema.tasks), np.int64)
        for block in read_blocks(files, schema, bad_rows=bad_rows):
            rows += len(block.row)
            positives += block.labels.sum(axis=0, dtype=np.int64)
            for feature in features:
                counts[feature.name].add(_values(feature, block.columns[feature.column]))
        sizes = {f.name: _write(vocabulary_file(beside, f), f, counts[f.name]) for f in features}
        rates = (positives / max(rows, 1)).tolist()
        rate = {task.name: share for task, share in zip(schema.tasks, rates, strict=True)}
        made_from = fingerprint(files, schema)
        statistics: dict[str, object] = {"rows": rows, "rate": rate, "vocabulary": sizes, "made_from": made_from}
        _publish(pathlib.Path(beside), directory, statistics)
    return statistics


def fingerprint(files: list[str], schema: Schema) -> str:
    """A hash of the schema and of the files' names and sizes: vocabularies of the same one need not be built again."""
    sources = [(pathlib.Path(file).name, os.path.getsize(file)) for file in files]
    return hashlib.blake2b(repr((schema, sources)).encode(), digest_size=16).hexdigest()


def reuse(files: list[str], schema: Schema, prepared: str | pathlib.Path, directory: str | pathlib.Path) -> bool:
    """Copies the vocabularies of `prepared` into `directory` if they were built from these files and this schema."""
    prepared, directory = pathlib.Path(prepared), pathlib.Path(directory)
    path = prepared / "statistics.json"
    if not path.exists():
        return False
    statistics = json.loads(path.read_text(encoding="utf-8"))
    if statistics.get("made_from") != fingerprint(files, schema):
        return False
    with tempfile.TemporaryDirectory(prefix=".vocabulary-", dir=directory) as beside:
        shutil.copytree(prepared / "vocabulary", pathlib.Path(beside) / "vocabulary")
        _publish(pathlib.Path(beside), directory, statistics)
    return True


def _values(feature: Feature, column: np.ndarray) -> Iterable[str]:
    flat = column.reshape(-1)
    if feature.dtype == "int64":
        return map(str, flat[flat != ABSENT["int64"]].tolist())
    texts = (value.decode() if isinstance(value, bytes) else value for value in flat.tolist())
    return (text for text in texts if text)


def _write(path: pathlib.Path, feature: Feature, counts: ValueCounts) -> int:
    values = counts.most_common(feature.min_count)
    broken = next((value for value in values if "\n" in value or "\r" in value), None)
    if broken is not None:
        raise SchemaError(
            f"feature {feature.name!r}: a value holds a line break; use kind 'hash'. Received: {broken!r}"
        )
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{value}\n" for value in values)
    return len(values)


def _publish(beside: pathlib.Path, directory: pathlib.Path, statistics: dict[str, object]) -> None:
    """Moves what was written into place; the statistics come last, so their presence says that all is there."""
    (directory / "statistics.json").unlink(missing_ok=True)
    shutil.rmtree(directory / "vocabulary", ignore_errors=True)
    (beside / "vocabulary").mkdir(exist_ok=True)
    os.rename(beside / "vocabulary", directory / "vocabulary")
    (beside / "statistics.json").write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
    os.rename(beside / "statistics.json", directory / "statistics.json")
