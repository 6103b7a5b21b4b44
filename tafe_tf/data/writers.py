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

    Values are integers, floats or strings, or lists of these; None and NaN are missing. In CSV a list is joined by
    "|". Every piece has the same columns.

    Args:
        path: ends in .csv, .csv.gz, .parquet, .tfrecord or .tfrecord.gz.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self._path = pathlib.Path(path)
        self._beside = self._path.with_name(f".{os.getpid()}.{self._path.name}")
        kinds: dict[str, Any] = {".csv": _Csv, ".parquet": _Parquet, ".tfrecord": _TFRecord}
        kind = next((k for k in kinds if self._path.name.removesuffix(".gz").endswith(k)), None)
        if kind is None:
            raise ValueError(f"{path}: must end in one of {', '.join(kinds)}")
        self._format = kinds[kind](str(self._beside))

    def __enter__(self) -> Writer:
        return self

    def append(self, columns: Columns) -> None:
        """Writes some more rows."""
        self._format.append({name: _plain(values) for name, values in columns.items()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._format.close()
        if kind is None:
            os.replace(self._beside, self._path)
        else:
            self._beside.unlink(missing_ok=True)


def write(path: str | pathlib.Path, columns: Columns) -> None:
    """Writes all rows at once."""
    with Writer(path) as writer:
        writer.append(columns)


def _plain(values: np.ndarray | Sequence[Any]) -> list[Any]:
    """Python values, None where one is missing."""
    items = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return [None if isinstance(item, float) and item != item else item for item in items]


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
        self._writer.writerows(zip(*(map(_cell, values) for values in columns.values()), strict=True))

    def close(self) -> None:
        self._text.close()
        self._raw.close()


def _cell(value: Any) -> Any:
    return "|".join(map(str, value)) if isinstance(value, (list, tuple)) else value


class _Parquet:
    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def append(self, columns: dict[str, list[Any]]) -> None:
        table = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _TFRecord:
    def __init__(self, path: str) -> None:
        self._writer = tf.io.TFRecordWriter(path, "GZIP" if path.endswith(".gz") else "")

    def append(self, columns: dict[str, list[Any]]) -> None:
        for row in zip(*columns.values(), strict=True):
            features = {name: _feature(value) for name, value in zip(columns, row, strict=True) if value is not None}
            self._writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())

    def close(self) -> None:
        self._writer.close()


def _feature(value: Any) -> tf.train.Feature:
    values = value if isinstance(value, (list, tuple)) else [value]
    if all(isinstance(v, str) for v in values) and values:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))
    if all(isinstance(v, int) for v in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
