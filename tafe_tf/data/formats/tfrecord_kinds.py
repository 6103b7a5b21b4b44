"""How the columns of a TFRecord file are stored, by its records."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import compression_of
from tafe_tf.data.formats.tfrecord_pieces import local_pieces
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.listing import identity

_AT_A_TIME = 1024  # records that are looked at for a column


def open_records(path: str) -> tf.data.TFRecordDataset:
    """The serialized records of a local file, plain or gz."""
    compression = "GZIP" if compression_of(path) else ""
    return tf.data.TFRecordDataset(
        path,
        compression,
        buffer_size=1 << 22,
    )


def read_batches(path: str, size: int) -> Iterator[np.ndarray]:
    """The serialized records of a file or an object, up to so many at a time; dtype object [n].

    Raises:
        tf.errors.OpError: If the file is not there or damaged.
        StoreError: If the object cannot be read.
        OSError: If its compression is damaged.
    """
    for piece in local_pieces(path) if is_remote(path) else (path,):
        for batch in open_records(piece).batch(size).prefetch(2):
            yield batch.numpy()


def first_records(path: str, count: int) -> Iterator[bytes]:
    """The first serialized records of a file or an object, as `read_batches` reads them."""
    records = itertools.chain.from_iterable(read_batches(path, min(count, _AT_A_TIME)))
    return itertools.islice(records, count)


def has_column(path: str, name: str, rows: int) -> bool:
    """Whether a column is in any of the first records of a file; kept until the file changes.

    Args:
        path: The file. One that cannot be read has no column; who reads it will say why.
        name: The column.
        rows: How many records are looked at.
    """
    try:
        state = _state_of(path)
    except (OSError, DataError):
        return False
    return _has_column(path, name, rows, state)


def _state_of(path: str) -> tuple[int, object]:
    """What tells the file from what it is after a change."""
    if is_remote(path):
        return identity(path)
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1 << 16)
def _has_column(
    path: str,
    name: str,
    rows: int,
    state: tuple[int, object],
) -> bool:
    """See `has_column`; `state` tells the file from what it is after a change."""
    try:
        left = rows
        for batch in read_batches(path, min(rows, _AT_A_TIME)):
            if _find_kind(batch[:left], name) is not None:
                return True
            left -= len(batch)
            if left <= 0:
                break
    except (tf.errors.OpError, OSError, DataError):
        pass
    return False


def find_kinds(
    serialized: np.ndarray,
    names: Sequence[str],
    known: Mapping[str, str | None],
) -> dict[str, str | None]:
    """Finds how each column is stored by the first record that has a value of it.

    Skipped records count as well, so that a file is read alike from any row on.

    Args:
        serialized: The records of a block.
        names: The columns.
        known: What the blocks before have shown.

    Returns:
        The kind of each column; "" while only empty lists were seen, None while no record had it.
    """
    kinds = dict(known)
    for name in names:
        if not kinds.get(name):
            kinds[name] = _find_kind(serialized, name)
    return kinds


def _find_kind(serialized: np.ndarray, name: str) -> str | None:
    """The kind of the first value: "" if all are empty lists, None if no record has the feature."""
    key = name.encode()
    found = None
    for text in serialized:
        if key not in text:  # a quick look, before the record is decoded
            continue
        feature = _features(text).get(name)
        if feature is None:
            continue
        found = ""
        kind = feature.WhichOneof("kind")
        if kind and getattr(feature, kind).value:
            return str(kind)
    return found


def _features(serialized: bytes) -> Any:
    example = tf.train.Example()
    try:
        example.ParseFromString(serialized)
    except Exception:  # protobuf's DecodeError, whose module depends on its implementation
        return {}
    return example.features.feature
