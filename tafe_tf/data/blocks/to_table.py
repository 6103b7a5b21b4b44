"""Checked blocks -> Arrow tables that are read as the same blocks again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.block import Block
from tafe_tf.schema import ABSENT, Column, Schema

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


def to_table(block: Block, schema: Schema) -> pa.Table:
    """All columns of the schema and the labels, in this order; missing values as `ABSENT`, lists without padding.

    Raises:
        pa.ArrowInvalid: if a text is no UTF-8, see `not_text`.
    """
    lengths = _lengths(block, schema)
    columns = {
        c.name: _array(block.columns[c.name], c, lengths.get(c.name)) for c in schema.columns
    }
    return pa.table(
        columns | {name: pa.array(block.labels[:, i]) for i, name in enumerate(schema.labels)}
    )


def not_text(block: Block, schema: Schema) -> list[Problem]:
    """Texts that are no UTF-8: TensorFlow takes any bytes, a text column does not."""
    problems = []
    for column in schema.columns:
        values = block.columns[column.name]
        for index, value in enumerate(values.reshape(-1)) if column.dtype == "string" else ():
            try:
                _ = value.decode() if isinstance(value, bytes) else value
            except UnicodeDecodeError:
                problems.append(
                    Problem(
                        index // (column.max_length or 1), column.name, "must be UTF-8 text", value
                    )
                )
    return problems


def _array(values: np.ndarray, column: Column, lengths: np.ndarray | None) -> pa.Array:
    kind = _TYPES[column.dtype]
    if lengths is None:
        return pa.array(values, kind)
    flat = values[np.arange(column.max_length) < lengths[:, None]]
    return pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), pa.array(flat, kind)
    )


def _lengths(block: Block, schema: Schema) -> dict[str, np.ndarray]:
    """Length of each list [n], by column: to its last value; a list and its weights are as long as each other."""
    weighted = [feature for feature in schema.features if feature.weights]
    padding: dict[str, Any] = {feature.weights: 0.0 for feature in weighted}
    lengths = {}
    for column in schema.columns:
        if column.max_length:
            absent = _is_absent(
                block.columns[column.name], padding.get(column.name, ABSENT[column.dtype])
            )
            lengths[column.name] = np.where(absent, 0, np.arange(1, column.max_length + 1)).max(
                axis=1
            )
    for _ in weighted:  # again and again, since features may share a column
        for feature in weighted:
            longest = np.maximum(lengths[feature.column], lengths[feature.weights])
            lengths[feature.column] = lengths[feature.weights] = longest
    return lengths


def _is_absent(values: np.ndarray, absent: Any) -> np.ndarray:
    if absent == "":
        return np.asarray((values == "") | (values == b""))
    return np.isnan(values) if absent != absent else np.asarray(values == absent)
