"""The same rows as each signature of an export takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.export import description
from tafe_tf.schema import ABSENT, RANK_SCORE, RANKS, SCORE, Schema

Rows = Mapping[str, np.ndarray]


def signature_inputs(
    schema: Schema,
    rows: Rows,
    signatures: Collection[str],
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the inputs of every signature for the same rows, by the signature's name.

    `rank` and `rank_score` get the user of the first row, with the items of all rows; the inputs of
    a score are those of `score_inputs`.

    Args:
        schema: The dataset.
        rows: Raw columns, [n], or [n, length] for lists, with n >= 1.
        signatures: Names of the signatures.

    Yields:
        A signature's name, and its inputs by name.
    """
    for name in sorted(signatures):
        if name == "examples":
            yield name, {name: examples(schema, rows)}
            continue
        if name == description.SIGNATURE:
            yield name, {name: np.full(len(rows[schema.served_inputs[0].name]), b"", object)}
            continue
        columns = dict(rows)
        if name in RANKS:
            for column in schema.user_inputs:
                columns[column] = rows[column][:1]
        inputs = by_input(schema, columns)
        if name in (SCORE, RANK_SCORE):
            inputs |= score_inputs(schema, len(rows[schema.served_inputs[0].name]))
        yield name, inputs


def score_inputs(schema: Schema, count: int) -> dict[str, np.ndarray]:
    """Numbers above 0 for the inputs of the schema's score, float32 [count] each."""
    if schema.score is None:
        return {}
    places = np.arange(count)
    found = {}
    for i, name in enumerate(schema.score.inputs):
        found[name] = (0.5 + (places + i) % 7).astype(np.float32)
    return found


def by_input(schema: Schema, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Raw columns by the names of the served model's inputs; further columns are left out."""
    return {column.input: rows[column.name] for column in schema.served_inputs}


def tiled(schema: Schema, rows: Rows) -> dict[str, np.ndarray]:
    """The columns that a `rank` request for `rows` scores: each row has the user of the first."""
    count = len(next(iter(rows.values())))
    columns = {column.name: rows[column.name] for column in schema.served_inputs}
    for name in schema.user_inputs:
        first = rows[name][:1]
        columns[name] = np.repeat(first, count, axis=0)
    return columns


def examples(schema: Schema, rows: Rows) -> np.ndarray:
    """Writes rows as serialized tf.Examples, which leave out missing values.

    Args:
        schema: The dataset.
        rows: Raw columns, [n], or [n, length] for lists.

    Returns:
        The serialized examples, an array of `bytes` objects, [n].
    """
    count = len(rows[schema.served_inputs[0].name])
    serialized = [_example(schema, rows, i) for i in range(count)]
    return np.array(serialized, object)


def _example(
    schema: Schema,
    rows: Rows,
    i: int,
) -> bytes:
    """Row i as a tf.Example."""
    features = {}
    for column in schema.served_inputs:
        value = rows[column.name][i]
        if column.max_length:
            features[column.name] = _feature(column.dtype, list(value))
        elif not _is_absent(column.dtype, value):
            features[column.name] = _feature(column.dtype, [value])
    by_name = tf.train.Features(feature=features)
    example = tf.train.Example(features=by_name)
    return bytes(example.SerializeToString(deterministic=True))


def _is_absent(dtype: str, value: Any) -> bool:
    """Whether a value is the one that stands for a missing value."""
    is_nan = value != value
    return bool(is_nan or value == ABSENT[dtype])


def _feature(dtype: str, values: Sequence[Any]) -> tf.train.Feature:
    if dtype == "string":
        texts = tf.train.BytesList(value=[_encoded(value) for value in values])
        return tf.train.Feature(bytes_list=texts)
    if dtype == "int64":
        integers = tf.train.Int64List(value=values)
        return tf.train.Feature(int64_list=integers)
    floats = tf.train.FloatList(value=values)
    return tf.train.Feature(float_list=floats)


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
