"""TFRecord files of tf.train.Example, plain or gz: whole batches are parsed at once."""

from __future__ import annotations

import functools
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.errors import DataError, MissingColumnError
from tafe_tf.data.formats.bounded import bounded
from tafe_tf.data.formats.file_kinds import compression_of
from tafe_tf.data.formats.reader import Chunk, Wanted, check_not_in_file
from tafe_tf.data.formats.tfrecord_kinds import find_kinds, read_batches
from tafe_tf.data.iterators import Span
from tafe_tf.storage.addresses import is_remote

_ABSENT_INT = -(2**63)  # stands for "not in the record" while a batch is parsed
_AT_A_TIME = 1 << 12  # records that are taken at a time
_FRAME = 16  # bytes that TFRecord adds to a record
_KINDS = {
    "int64_list": tf.int64,
    "float_list": tf.float32,
    "bytes_list": tf.string,
}


def read(
    path: str,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's features, see `reader.Reader`.

    A feature may be stored as integers, floats or bytes, but is of the same kind in every record.
    In a record that lacks it, its value is missing.

    Raises:
        DataError: If the file is truncated or corrupt, or if a column is in no record of the first
            block, nor in another file of the split.
    """
    done = 0
    size = 0
    kinds: dict[str, str | None] = {}
    try:
        pieces = read_batches(path, _AT_A_TIME)
        weigh = functools.partial(_weigh, padding=wanted.padding)
        for spans, ends in bounded(pieces, wanted.block_rows, weigh):
            serialized = np.concatenate([piece[start:stop] for piece, start, stop in spans])
            count = len(serialized)
            rows = np.arange(done + 1, done + count + 1)
            to_skip = max(0, skip - done)
            passed = min(to_skip, count)
            done += count
            size += sum(map(len, serialized))
            size += _FRAME * count
            is_first = not kinds
            kinds = find_kinds(serialized, wanted.names, kinds)
            if is_first:
                of_file = find_kinds(serialized, list(wanted.of_folders), {})
                present = [name for name, kind in of_file.items() if kind is not None]
                check_not_in_file(path, wanted.of_folders, present)
                _check_present(path, count, kinds, wanted)
            if passed:
                yield Chunk(None, rows[:passed], [])
            if passed < count:
                yield _parse(
                    serialized[passed:],
                    rows[passed:],
                    kinds,
                    wanted.lists,
                )._replace(ends=ends)
        if compression_of(path) and not is_remote(path):
            _check_gzip(path, size, done)
    except tf.errors.NotFoundError:
        raise DataError(f"{path}: cannot be read: no such file") from None
    except tf.errors.DataLossError as error:
        graph_nodes = r"\{\{.*\}\} | \[Op:.*"
        reason = re.sub(graph_nodes, "", error.message)
        raise DataError(f"{path}: cannot be read after row {_count(path)}: {reason}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read after row {done}: {error}") from None


def _weigh(span: Span[np.ndarray], padding: int) -> int:
    """The bytes of some records."""
    records, start, stop = span
    return sum(map(len, records[start:stop])) + (stop - start) * padding


def _check_gzip(
    path: str,
    size: int,
    rows: int,
) -> None:
    """Raises DataError for a truncated gz file, which TensorFlow takes for a short one.

    A whole file ends with its uncompressed size (RFC 1952). Where that is not what was read, all of
    the file is checked.
    """
    with open(path, "rb") as file:
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - 4))
        last = file.read(4)
        uncompressed = int.from_bytes(last, "little")
        if uncompressed == size % 2**32:
            return
    try:
        with gzip.open(path) as file:
            while file.read(1 << 22):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read after row {rows}: {error}") from None


def _count(path: str) -> int:
    """Number of records before the damaged one."""
    count = 0
    try:
        for batch in read_batches(path, 1):
            count += len(batch)
    except tf.errors.DataLossError:
        pass
    return count


def _check_present(
    path: str,
    count: int,
    kinds: Mapping[str, str | None],
    wanted: Wanted,
) -> None:
    """Raises MissingColumnError if neither the first block nor another file has a column."""
    for name, kind in kinds.items():
        if kind is None and not wanted.elsewhere(name):
            what = f"column {name!r} is missing from the first {count} records"
            raise MissingColumnError(f"{path}: {what}, and from the split's other files")


def _parse(
    serialized: np.ndarray,
    rows: np.ndarray,
    kinds: Mapping[str, str | None],
    lists: Collection[str],
) -> Chunk:
    """Parses records; a column of which no value was seen is all missing."""
    known = {name: kind for name, kind in kinds.items() if kind}
    problems: list[Problem] = []
    try:
        columns = _parse_batch(serialized, known, lists)
    except tf.errors.InvalidArgumentError:
        repaired, problems = _repair(serialized, known, lists)
        columns = _parse_batch(repaired, known, lists)
    for name in kinds:
        if name not in known:
            columns[name] = pa.nulls(len(rows))
    return Chunk(columns, rows, problems)


def _parse_batch(
    serialized: np.ndarray,
    kinds: Mapping[str, str],
    lists: Collection[str],
) -> dict[str, pa.Array]:
    defaults = {
        "int64_list": _ABSENT_INT,
        "float_list": float("nan"),
        "bytes_list": b"",
    }
    specs: dict[str, Any] = {}
    for name, kind in kinds.items():
        dtype = _KINDS[kind]
        if name in lists:
            specs[name] = tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
        else:
            specs[name] = tf.io.FixedLenFeature([], dtype, defaults[kind])
    if not specs:
        return {}
    parsed = tf.io.parse_example(serialized, specs)
    columns = {}
    for name, kind in kinds.items():
        columns[name] = _to_arrow(parsed[name], kind)
    return columns


def _to_arrow(
    values: tf.Tensor | tf.RaggedTensor,
    kind: str,
) -> pa.Array:
    if isinstance(values, tf.RaggedTensor):
        flat = _to_arrow(values.values, kind)
        offsets = pa.array(values.row_splits.numpy())
        return pa.LargeListArray.from_arrays(offsets, flat)
    array = values.numpy()
    if kind == "bytes_list":
        return pa.array(array, pa.binary())
    if kind == "int64_list":
        return pa.array(array, mask=array == _ABSENT_INT)
    return pa.array(array)


def _repair(
    serialized: np.ndarray,
    kinds: Mapping[str, str],
    lists: Collection[str],
) -> tuple[np.ndarray, list[Problem]]:
    """Removes what cannot be parsed, record by record, and says what it was."""
    repaired = []
    problems: list[Problem] = []
    first_column = next(iter(kinds))
    for index, text in enumerate(serialized):
        example = tf.train.Example()
        try:
            example.ParseFromString(text)
        except Exception:
            rule = "the record is no tf.train.Example"
            problems.append(
                Problem(
                    index,
                    first_column,
                    rule,
                    f"{len(text):,} bytes",
                )
            )
            repaired.append(b"")
            continue
        for name, kind in kinds.items():
            _repair_feature(
                example,
                name,
                kind,
                name in lists,
                index,
                problems,
            )
        repaired.append(example.SerializeToString())
    return np.array(repaired, object), problems


def _repair_feature(
    example: tf.train.Example,
    name: str,
    kind: str,
    is_list: bool,
    index: int,
    problems: list[Problem],
) -> None:
    feature = example.features.feature.get(name)
    if feature is None or not feature.WhichOneof("kind"):
        return
    found = feature.WhichOneof("kind")
    values = list(getattr(feature, found).value)
    if found != kind and values:
        problems.append(
            Problem(
                index,
                name,
                f"must be stored as {kind}, as before",
                values[0],
            )
        )
    elif len(values) > 1 and not is_list:
        problems.append(Problem(index, name, "must hold one value", values))
    elif len(values) == 1 or (is_list and found == kind):
        return
    del example.features.feature[name]
