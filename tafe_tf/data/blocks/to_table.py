"""Arrow tables of checked blocks; a file of them is read as the same blocks again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.label_values import stored_labels
from tafe_tf.data.blocks.to_column import is_present
from tafe_tf.schema import Column, Schema

_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


def to_table(block: Block, schema: Schema) -> pa.Table:
    """Makes a table of a block: all columns of the schema, then the labels.

    Missing values are as in the block, see `schema.ABSENT`. Lists are without their padding. The
    time keeps all of its bits. Labels are what their tasks read, see `stored_labels`.

    Raises:
        pa.ArrowInvalid: if a text is not UTF-8, see `not_text`.
    """
    lengths = _lengths(block, schema)
    columns = {}
    for column in schema.columns:
        # A text holds the time as well; as a number the time may have more bits than the column.
        is_time = column.name == schema.time and block.time is not None
        if is_time and (column.dtype != "string" or column.name in schema.only_time):
            columns[column.name] = pa.array(block.time)
            continue
        columns[column.name] = _array(
            block.columns[column.name],
            column,
            lengths.get(column.name),
        )
    for i, name in enumerate(schema.labels):
        columns[name] = stored_labels(block.labels[:, i], schema.tasks[i])
    return pa.table(columns)


def not_text(block: Block, schema: Schema) -> list[Problem]:
    """Finds texts that are not UTF-8, which TensorFlow takes and a table's text column does not."""
    problems = []
    for column in schema.columns:
        if column.dtype != "string" or column.name not in block.columns:
            continue
        per_row = column.max_length or 1
        flat = block.columns[column.name].reshape(-1)
        for index, value in enumerate(flat):
            if not isinstance(value, bytes):
                continue
            try:
                value.decode()
            except UnicodeDecodeError:
                row = index // per_row
                problems.append(
                    Problem(
                        row,
                        column.name,
                        "must be UTF-8 text",
                        value,
                    )
                )
    return problems


def _array(
    values: np.ndarray,
    column: Column,
    lengths: np.ndarray | None,
) -> pa.Array:
    kind = _TYPES[column.dtype]
    if lengths is None:
        return pa.array(values, kind)
    present = np.arange(column.max_length) < lengths[:, None]
    ends = np.cumsum(lengths)
    offsets = pa.array(np.append(0, ends), pa.int32())
    flat = pa.array(values[present], kind)
    return pa.ListArray.from_arrays(offsets, flat)


def _lengths(block: Block, schema: Schema) -> dict[str, np.ndarray]:
    """The length of each list up to its last value, [n], by column.

    A list and its weights are as long as each other, and so are the lists of a sequence.
    """
    weighted = [feature for feature in schema.features if feature.weights]
    of_weights = {feature.weights for feature in weighted}
    lengths = {}
    for column in schema.columns:
        if not column.max_length:
            continue
        values = block.columns[column.name]
        absent = values == 0.0 if column.name in of_weights else ~is_present(values)
        places = np.arange(1, column.max_length + 1)
        last = np.where(absent, 0, places)
        lengths[column.name] = last.max(axis=1)
    for _ in weighted:  # features may share a column, so that lengths go from one to the next
        for feature in weighted:
            of_values = lengths[feature.column]
            longest = np.maximum(of_values, lengths[feature.weights])
            lengths[feature.column] = longest
            lengths[feature.weights] = longest
    columns = {feature.name: feature.column for feature in schema.features}
    for sequence in schema.sequences:
        names = [columns[name] for name in sequence.features]
        longest = np.maximum.reduce([lengths[name] for name in names])
        lengths.update(dict.fromkeys(names, longest))
    return lengths
