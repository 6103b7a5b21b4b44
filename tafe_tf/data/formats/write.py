"""Writes columns as CSV, Parquet or TFRecord, beside the target and then renamed."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

Columns = Mapping[str, "np.ndarray | Sequence[Any]"]


class Writer:
    """Writes a file in pieces; the file appears whole when the `with` block ends, or not at all.

    Values are integers (booleans as 0 and 1), floats or strings (bytes as UTF-8), or lists of these; None and NaN
    are missing. In CSV a list is joined by "|". TFRecord keeps floats as float32: write a time as integers.

    Args:
        path: ends in .csv, .csv.gz, .parquet, .tfrecord or .tfrecord.gz.

    Raises:
        ValueError: for another ending, a piece with other columns than the first, columns of unequal length, a list
            with None, a "|" inside a value of a CSV list, or if nothing was appended.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self._path = pathlib.Path(path)
        self._beside = self._path.with_name(f".{os.getpid()}.{self._path.name}")
        kinds: dict[str, Any] = {".csv": _Csv, ".parquet": _Parquet, ".tfrecord": _TFRecord}
        kind = next((k for k in kinds if self._path.name.removesuffix(".gz").endswith(k)), None)
        if kind is None:
            raise ValueError(f"{path}: must end in one of {', '.join(kinds)}")
        self._format = kinds[kind](str(self._beside))
        self._names: list[str] = []

    def __enter__(self) -> Writer:
        return self

    def append(self, columns: Columns) -> None:
        """Writes some more rows."""
        self._names = self._names or list(columns)
        if list(columns) != self._names:
            raise ValueError(
                f"{self._path}: every piece must have the columns {self._names}. Received: {list(columns)}"
            )
        plain = {name: _plain(name, values) for name, values in columns.items()}
        if len({len(values) for values in plain.values()}) > 1:
            lengths = {name: len(values) for name, values in plain.items()}
            raise ValueError(f"{self._path}: columns must be of one length. Received: {lengths}")
        self._format.append(plain)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._format.close()
            if kind is None and not self._names:
                raise ValueError(f"{self._path}: nothing was appended")
            if kind is None:
                os.replace(self._beside, self._path)
        finally:
            self._beside.unlink(missing_ok=True)


def write(path: str | pathlib.Path, columns: Columns) -> None:
    """Writes all rows at once."""
    with Writer(path) as writer:
        writer.append(columns)


def _plain(name: str, values: np.ndarray | Sequence[Any]) -> list[Any]:
    """Python values, None where one is missing."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":
        return list(values.tolist())
    items = [_value(item) for item in values]
    if any(isinstance(item, list) and None in item for item in items):
        raise ValueError(f"column {name!r}: a list must not hold None")
    return [None if isinstance(item, float) and item != item else item for item in items]


def _value(item: Any) -> Any:
    """A Python number, text or list: NumPy's own integers are no `int`, and would be stored as floats."""
    if isinstance(item, (list, tuple, np.ndarray)):
        return [_value(x) for x in item]
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, bytes):
        return item.decode()
    return int(item) if isinstance(item, bool) else item


class _Csv:
    def __init__(self, path: str) -> None:
        raw = open(path, "wb")  # noqa: SIM115
        # No name and no time in the gz header: the same rows give the same bytes.
        self._file = gzip.GzipFile("", "wb", 6, raw, mtime=0) if path.endswith(".gz") else raw
        self._raw, self._has_header = raw, False
        self._text = io.TextIOWrapper(self._file, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")

    def append(self, columns: dict[str, list[Any]]) -> None:
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        self._writer.writerows(
            zip(*(map(_cell, values) for values in columns.values()), strict=True)
        )

    def close(self) -> None:
        self._text.close()
        self._raw.close()


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    texts = [str(item) for item in value]
    if any("|" in text for text in texts):
        raise ValueError(f"a value of a list must not hold '|' in CSV. Received: {value!r}")
    return "|".join(texts)


class _Parquet:
    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def append(self, columns: dict[str, list[Any]]) -> None:
        table = pa.table(columns, schema=self._writer and self._writer.schema)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _TFRecord:
    def __init__(self, path: str) -> None:
        self._writer = tf.io.TFRecordWriter(path, "GZIP" if path.endswith(".gz") else "")
        self._is_float: dict[str, bool] = {}

    def append(self, columns: dict[str, list[Any]]) -> None:
        for name, values in columns.items():
            self._check_kind(name, values)
        for row in zip(*columns.values(), strict=True):
            named = zip(columns, row, strict=True)
            features = {
                name: _feature(value, self._is_float.get(name))
                for name, value in named
                if value is not None
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            self._writer.write(example.SerializeToString(deterministic=True))

    def _check_kind(self, name: str, values: list[Any]) -> None:
        """One float makes the column a float column: a reader takes one kind a column."""
        kinds = {
            type(v) for value in values for v in (value if isinstance(value, list) else [value])
        }
        if float in kinds and not self._is_float.get(name, True):
            raise ValueError(
                f"column {name!r}: the pieces before held integers, this one holds floats"
            )
        if kinds & {int, float}:
            self._is_float[name] = self._is_float.get(name, False) or float in kinds

    def close(self) -> None:
        self._writer.close()


def _feature(value: Any, is_float: bool | None) -> tf.train.Feature:
    values = value if isinstance(value, list) else [value]
    if not values:
        return tf.train.Feature()  # an empty list has no kind
    if all(isinstance(v, str) for v in values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))
    if not is_float and all(isinstance(v, int) for v in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
