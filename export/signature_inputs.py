"""Rows as each signature of an export wants them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.schema import ABSENT, Schema

Rows = Mapping[str, np.ndarray]


def requests(
    schema: Schema, rows: Rows, signatures: Collection[str]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The inputs of every signature for the same rows; `rank` gets the first row's user with the items of all.

    Args:
        schema: the dataset.
        rows: raw columns, [n], or [n, length] for lists; n >= 1.
        signatures: names of those to fill.

    Yields:
        A signature's name and its inputs by name.
    """
    for name in sorted(signatures):
        if name == "examples":
            yield name, {name: examples(schema, rows)}
        elif name == "rank":
            yield (
                name,
                {c: rows[c][:1] if c in schema.user_inputs else rows[c] for c in _columns(schema)},
            )
        else:
            yield name, {c: rows[c] for c in _columns(schema)}


def tiled(schema: Schema, rows: Rows) -> dict[str, np.ndarray]:
    """The rows that a `rank` request of `rows` scores: everybody is the first row's user."""
    n = len(next(iter(rows.values())))
    return {
        c: np.repeat(rows[c][:1], n, axis=0) if c in schema.user_inputs else rows[c]
        for c in _columns(schema)
    }


def examples(schema: Schema, rows: Rows) -> np.ndarray:
    """Rows as serialized tf.Examples, object [n]; missing values are left out."""
    columns = [(c, rows[c.name]) for c in schema.inputs]
    return np.array([_example(columns, i) for i in range(len(columns[0][1]))], object)


def _example(columns: list[tuple[Any, np.ndarray]], i: int) -> bytes:
    features = {}
    for column, values in columns:
        value = values[i]
        if column.max_length:
            features[column.name] = _feature(column.dtype, list(value))
        elif value == value and value != ABSENT[column.dtype]:  # NaN is not itself
            features[column.name] = _feature(column.dtype, [value])
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString(deterministic=True))


def _feature(dtype: str, values: list[Any]) -> tf.train.Feature:
    if dtype == "string":
        texts = [v if isinstance(v, bytes) else v.encode() for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if dtype == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _columns(schema: Schema) -> list[str]:
    return [c.name for c in schema.inputs]
