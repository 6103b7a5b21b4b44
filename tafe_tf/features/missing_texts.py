"""Where a raw text of a request means a missing value."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tafe_tf.schema import ABSENT, Schema


class MissingTexts(tf.Module):
    """Finds the texts that mean a missing value.

    Args:
        schema: The dataset's schema.

    Attributes:
        table: Gives True for each such text, the empty one among them, and False for any other.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__(name="missing_texts")
        texts = sorted({ABSENT["string"], *schema.missing})
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(texts, tf.string),
            tf.fill([len(texts)], True),
        )
        self.table = tf.lookup.StaticHashTable(initializer, default_value=False)
        columns = schema.inputs
        self._names = [
            column.name for column in columns if column.dtype == "string" and not column.max_length
        ]

    def of_columns(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Where each column of one text a row is missing, [B, 1], by the column's name.

        One lookup answers for all columns: each operation costs a request of one row the same,
        however many values it takes.
        """
        if not self._names:
            return {}
        texts = tf.stack([columns[name] for name in self._names], axis=1)
        is_missing = tf.split(self.table.lookup(texts), len(self._names), axis=1)
        return dict(zip(self._names, is_missing, strict=True))
