"""How an export stores its embedding tables: as trained, or in fewer bits."""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.models import FunnelModel

Storage = Literal["float32", "float16", "int8"]
STORAGES: tuple[Storage, ...] = ("float32", "float16", "int8")


class StoredTable(tf.Module):
    """An embedding table as it is served.

    "float32" keeps the weight itself, not a copy of it, even if it was trained in fewer bits.
    "float16" rounds each number to 11 bits. "int8" keeps a row as round(127 x / m), with m the
    largest magnitude of that row as a float32: an error of at most m / 254.

    Args:
        table: The trained weight, [rows, d].
        storage: "float32", "float16" or "int8".

    Attributes:
        storage: The dtype in which the table is stored.
    """

    def __init__(self, table: keras.Variable, storage: Storage) -> None:
        super().__init__(name="stored_table")
        self._scale: tf.Variable | None = None
        self.storage: str = table.dtype if storage == "float32" else storage
        if storage == "float32":
            self._table = table.value
            return
        values = table.numpy().astype(np.float32)
        if storage == "int8":
            largest = np.abs(values).max(axis=1, keepdims=True)
            scale = largest / np.float32(127)
            self._scale = tf.Variable(scale, trainable=False, name="scale")
            quotient = np.divide(
                values,
                scale,
                out=np.zeros_like(values),
                where=scale > 0,
            )
            values = np.rint(quotient)
        self._table = tf.Variable(
            values.astype(storage),
            trainable=False,
            name="table",
        )

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Row numbers, any shape -> embeddings, float32 [..., d]."""
        stored = self._table.sparse_read(rows)
        read = tf.cast(stored, tf.float32)
        if self._scale is None:
            return read
        return read * self._scale.sparse_read(rows)


def store(model: FunnelModel, storage: Storage) -> list[StoredTable]:
    """Makes a model read its embeddings from stored tables.

    Args:
        model: The model, which is changed.
        storage: "float32", "float16" or "int8".

    Returns:
        The stored tables, in the order of the model's embedding layers.
    """
    tables = []
    for layer in model.tables():
        layer.reader = StoredTable(layer.table, storage)
        tables.append(layer.reader)
    return tables
