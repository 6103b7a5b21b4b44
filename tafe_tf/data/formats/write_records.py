"""Writes rows as TFRecord files of `tf.train.Example`s."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Records:
    """Writes a file in pieces.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        compression = "GZIP" if path.endswith(".gz") else ""
        self._writer = tf.io.TFRecordWriter(path, compression)
        self._is_float: dict[str, bool] = {}

    def append(self, columns: dict[str, list[Any]]) -> None:
        """Writes some rows: columns of equal length as Python values, None where one is missing."""
        for name, values in columns.items():
            self._check_kind(name, values)
        for row in zip(*columns.values(), strict=True):
            features = {}
            for name, value in zip(columns, row, strict=True):
                if value is not None:
                    is_float = self._is_float.get(name)
                    features[name] = _feature(value, is_float)
            by_name = tf.train.Features(feature=features)
            example = tf.train.Example(features=by_name)
            serialized = example.SerializeToString(deterministic=True)
            self._writer.write(serialized)

    def _check_kind(self, name: str, values: list[Any]) -> None:
        """Notes a column with any float as one of floats: a reader takes one kind a column."""
        kinds: set[type] = set()
        for value in values:
            items = value if isinstance(value, list) else [value]
            kinds.update(map(type, items))
        if float in kinds and not self._is_float.get(name, True):
            raise ValueError(
                f"column {name!r}: the pieces before held integers, this one holds floats"
            )
        if kinds & {int, float}:
            held_floats = self._is_float.get(name, False)
            self._is_float[name] = held_floats or float in kinds

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()


def _feature(value: Any, is_float: bool | None) -> tf.train.Feature:
    """A value or a list as a feature of a record; `is_float` makes integers floats."""
    values = value if isinstance(value, list) else [value]
    if not values:
        return tf.train.Feature()  # an empty list has no kind
    if all(isinstance(item, str) for item in values):
        encoded = [item.encode() for item in values]
        texts = tf.train.BytesList(value=encoded)
        return tf.train.Feature(bytes_list=texts)
    if not is_float and all(isinstance(item, int) for item in values):
        integers = tf.train.Int64List(value=values)
        return tf.train.Feature(int64_list=integers)
    floats = tf.train.FloatList(value=values)
    return tf.train.Feature(float_list=floats)
