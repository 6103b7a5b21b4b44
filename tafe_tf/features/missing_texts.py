"""Where a raw text or number of a request means a missing value."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import tensorflow as tf

from tafe_tf.data.spelling.numbers import numbers_that_are_missing
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
        integers = numbers_that_are_missing(schema.missing, pa.int64())
        floats = numbers_that_are_missing(schema.missing, pa.float64())
        self._integers = integers.to_pylist()
        self._floats = floats.to_pylist()
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

    def without_numbers(self, numbers: tf.Tensor) -> tf.Tensor:
        """Numbers with the dtype's own missing value where one is that a missing text names.

        Most schemas name none, so that nothing is computed.

        Args:
            numbers: int64 or float32, of any shape.
        """
        named = self._floats if numbers.dtype.is_floating else self._integers
        absent = ABSENT[numbers.dtype.name]
        for number in named:
            numbers = tf.where(numbers == number, tf.cast(absent, numbers.dtype), numbers)
        return numbers
