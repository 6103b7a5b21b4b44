"""Writes columns as CSV, Parquet or TFRecord files that appear whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tafe_tf.data.atomic import publish
from tafe_tf.shown import shown

Columns = Mapping[str, "np.ndarray | Sequence[Any]"]


class Writer:
    """Writes a file in pieces; the file appears whole when the `with` block ends, or not at all.

    Values are integers (booleans as 0 and 1), floats or strings (bytes as UTF-8), or lists of
    these. None and NaN are missing. In CSV a list is joined by "|". TFRecord keeps floats as
    float32, so write a time as integers. The same pieces give the same bytes.

    Args:
        path: The file; it ends in .csv, .tsv, .parquet or .tfrecord, where .gz may follow but for
            Parquet, and .zst for .csv and .tsv.

    Raises:
        ValueError: For another ending, a piece with other columns than the first, columns of
            unequal length, a list with None, a "|" inside a value of a CSV list, or if nothing was
            appended.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.csv"
        >>> with Writer(path) as writer:
        ...     writer.append({"item": [1, None], "tags": [["a", "b"], []]})
        >>> path.read_text()
        'item,tags\\n1,a|b\\n,\\n'
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self._path = pathlib.Path(path)
        self._beside = self._path.with_name(f".{os.getpid()}.{self._path.name}")
        endings = [ending for ending in _KINDS if self._path.name.endswith(ending)]
        if not endings:
            raise ValueError(f"{path}: must end in one of {', '.join(_KINDS)}")
        kind = _KINDS[endings[0]]
        self._format = kind(str(self._beside))
        self._names: list[str] = []

    def __enter__(self) -> Writer:
        return self

    def append(self, columns: Columns) -> None:
        """Writes some more rows: columns of equal length by name, the same names in every piece."""
        self._names = self._names or list(columns)
        if list(columns) != self._names:
            rule = f"every piece must have the columns {shown(self._names)}"
            raise ValueError(f"{self._path}: {rule}. Received: {shown(list(columns))}")
        plain = {}
        for name, values in columns.items():
            plain[name] = _plain(name, values)
        lengths = {name: len(values) for name, values in plain.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"{self._path}: columns must be of one length. Received: {shown(lengths)}"
            )
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
                publish(self._beside, self._path)
        finally:
            self._beside.unlink(missing_ok=True)


def write(path: str | pathlib.Path, columns: Columns) -> None:
    """Writes a file of all rows at once, see `Writer`."""
    with Writer(path) as writer:
        writer.append(columns)


def _plain(name: str, values: np.ndarray | Sequence[Any]) -> list[Any]:
    """A column as Python values, None where one is missing."""
    if isinstance(values, np.ndarray):
        are_integers = values.dtype.kind in "iu"
        if values.ndim == 1 and are_integers:
            return list(values.tolist())
    plain = []
    for value in values:
        item = _value(value)
        if isinstance(item, list) and None in item:
            raise ValueError(f"column {name!r}: a list must not hold None")
        is_nan = isinstance(item, float) and math.isnan(item)
        plain.append(None if is_nan else item)
    return plain


def _value(item: Any) -> Any:
    """A number, text or list of Python's own; of NumPy's, integers would be stored as floats."""
    if isinstance(item, (list, tuple, np.ndarray)):
        return [_value(x) for x in item]
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, bytes):
        return item.decode()
    return int(item) if isinstance(item, bool) else item


class _Csv:
    def __init__(self, path: str) -> None:
        self._has_header = False
        self._raw = open(path, "wb")  # noqa: SIM115
        file: Any = self._raw
        if path.endswith(".zst"):
            file = pa.CompressedOutputStream(self._raw, "zstd")
        if path.endswith(".gz"):
            # No name and no time in the gz header: the same rows give the same bytes.
            file = gzip.GzipFile(
                "",
                "wb",
                6,
                self._raw,
                mtime=0,
            )
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        delimiter = "\t" if ".tsv" in pathlib.Path(path).suffixes else ","
        self._writer = csv.writer(
            self._text,
            delimiter=delimiter,
            lineterminator="\n",
        )

    def append(self, columns: dict[str, list[Any]]) -> None:
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        cells = [map(_cell, values) for values in columns.values()]
        self._writer.writerows(zip(*cells, strict=True))

    def close(self) -> None:
        self._text.close()
        self._raw.close()


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    texts = [str(item) for item in value]
    if any("|" in text for text in texts):
        raise ValueError(f"a value of a list must not hold '|' in CSV. Received: {shown(value)}")
    return "|".join(texts)


class _Parquet:
    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def append(self, columns: dict[str, list[Any]]) -> None:
        schema = None if self._writer is None else self._writer.schema
        table = pa.table(columns, schema=schema)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _tfrecord(path: str) -> Any:
    from tafe_tf.data.formats.write_records import Records  # TensorFlow takes seconds to import

    return Records(path)


_KINDS: dict[str, Any] = {
    ".csv": _Csv,
    ".csv.gz": _Csv,
    ".csv.zst": _Csv,
    ".tsv": _Csv,
    ".tsv.gz": _Csv,
    ".tsv.zst": _Csv,
    ".parquet": _Parquet,
    ".tfrecord": _tfrecord,
    ".tfrecord.gz": _tfrecord,
}
