"""Raw columns -> ids, in one TensorFlow graph that training, evaluation and the exported model share."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import tensorflow as tf

from tafe_tf.schema import ABSENT, FIRST, MISSING, UNSEEN, Feature, Schema

_LARGEST = 1e9  # magnitude of a weight; files with infinite ones are refused, requests are not


def vocabulary_file(directory: str | pathlib.Path, feature: Feature) -> pathlib.Path:
    """Where a feature's vocabulary lies: one value a line, most frequent first."""
    return pathlib.Path(directory) / "vocabulary" / f"{feature.name}.txt"


class Features(tf.Module):
    """The feature contract of a dataset: raw columns in, ids of the fused embedding table out.

    Every field keeps id 0 for unseen values and id 1 for missing ones; its own values start at 2. A missing
    value is "" (strings), -1 (integers) or NaN (numbers); entries of a list that are missing do not count, and an
    empty list is one missing value.

    Args:
        schema: the dataset.
        directory: holds `vocabulary/<feature>.txt`, written by `tafe_tf.prepare`.

    Attributes:
        rows: embedding rows of each field.
        slots: ids per field.

    Raises:
        FileNotFoundError: if a vocabulary is missing.
    """

    def __init__(self, schema: Schema, directory: str | pathlib.Path) -> None:
        super().__init__(name="features")
        self.schema = schema
        self.slots = tuple(feature.slots for feature in schema.features)
        self._tables: dict[str, tf.lookup.StaticHashTable] = {}
        rows = []
        for feature in schema.features:
            size = 0
            if feature.kind == "vocabulary":
                self._tables[feature.name], size = _lookup_table(vocabulary_file(directory, feature), feature)
            rows.append(feature.rows(size))
        self.rows = tuple(rows)

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """The raw columns as the graph takes them: [B], or [B, any length] for lists."""
        return {
            c.name: tf.TensorSpec([None, None] if c.max_length else [None], c.dtype, c.name) for c in self.schema.inputs
        }

    @property
    def model_signature(self) -> dict[str, tf.TensorSpec]:
        """What the graph makes of them: "ids" and, if some field holds lists, "weights"; [B, S] each."""
        inputs = {"ids": tf.TensorSpec([None, sum(self.slots)], tf.int32)}
        if any(feature.max_length for feature in self.schema.features):
            inputs["weights"] = tf.TensorSpec([None, sum(self.slots)], tf.float32)
        return inputs

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Makes the model's inputs.

        Args:
            columns: raw columns as in `signature`; further ones are ignored.

        Returns:
            "ids", int32 [B, S], each counted within its field; and, if some field holds lists, the pooling
            weights "weights", float32 [B, S]. S is the sum of `slots`.
        """
        ids, weights = [], []
        for feature in self.schema.features:
            field_ids, field_weights = self._field(feature, columns)
            ids.append(field_ids)
            weights.append(field_weights)
        parts = {"ids": ids, "weights": weights}
        return {name: tf.concat(parts[name], axis=1) for name in self.model_signature}

    def _field(self, feature: Feature, columns: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        raw = columns[feature.column]
        if not feature.max_length:
            ids = self._ids(feature, raw)[:, None]
            return ids, tf.ones_like(ids, tf.float32)
        raw = _fit(raw, feature.max_length, ABSENT[feature.raw_dtype])
        ids = self._ids(feature, raw)
        present = tf.cast(ids != MISSING, tf.float32)
        weights = present
        if feature.weights:
            given = tf.clip_by_value(_fit(columns[feature.weights], feature.max_length, 0.0), -_LARGEST, _LARGEST)
            known = (ids != MISSING) & ~tf.math.is_nan(given)
            weights = tf.where(known, given, 0.0)  # not a product: the weight of a missing value may be NaN
        if feature.pooling == "mean":
            weights = tf.math.divide_no_nan(weights, tf.reduce_sum(tf.abs(weights), axis=1, keepdims=True))
        is_empty = tf.reduce_sum(present, axis=1, keepdims=True) == 0.0
        first = tf.one_hot(0, feature.max_length)[None, :]
        return ids, tf.where(is_empty, first, weights)

    def _ids(self, feature: Feature, raw: tf.Tensor) -> tf.Tensor:
        if feature.kind == "log_round":
            magnitude = tf.minimum(tf.abs(raw), feature.max_abs)
            bucket = tf.round(feature.scale * tf.math.log1p(magnitude))
            # float32 may round max_abs itself one bucket further, which would be another field's row
            bucket = tf.sign(raw) * tf.minimum(bucket, float(feature.largest_bucket))
            missing = tf.math.is_nan(raw)
            ids = tf.cast(tf.where(missing, 0.0, bucket), tf.int32) + (FIRST + feature.largest_bucket)
            return tf.where(missing, MISSING, ids)
        if feature.kind == "vocabulary":
            ids = self._tables[feature.name].lookup(raw)
        elif feature.kind == "integer":
            known = (raw >= 0) & (raw < feature.size)
            ids = tf.where(known, raw + FIRST, UNSEEN)
        else:
            text = raw if raw.dtype == tf.string else tf.strings.as_string(raw)
            ids = tf.strings.to_hash_bucket_fast(text, feature.buckets) + FIRST
        return tf.where(raw == ABSENT[feature.raw_dtype], MISSING, tf.cast(ids, tf.int32))


def _lookup_table(path: pathlib.Path, feature: Feature) -> tuple[tf.lookup.StaticHashTable, int]:
    """The table and the number of its values."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: feature {feature.name!r} needs its vocabulary; run tafe_tf.prepare")
    key_dtype = tf.string if feature.dtype == "string" else tf.int64
    if path.stat().st_size == 0:  # no value reached min_count; TensorFlow has no empty table, so it knows the missing
        missing = tf.constant([ABSENT[feature.dtype]], key_dtype)
        initializer = tf.lookup.KeyValueTensorInitializer(missing, tf.constant([MISSING], tf.int64))
        return tf.lookup.StaticHashTable(initializer, default_value=UNSEEN), 0
    initializer = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=key_dtype,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE if key_dtype == tf.string else 0,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        value_index_offset=FIRST,
    )
    table = tf.lookup.StaticHashTable(initializer, default_value=UNSEEN)
    return table, int(table.size())


def _fit(lists: tf.Tensor, length: int, padding: str | int | float) -> tf.Tensor:
    """Cuts or pads [B, any] to [B, length]."""
    lists = lists[:, :length]
    lists = tf.pad(lists, [[0, 0], [0, length - tf.shape(lists)[1]]], constant_values=tf.constant(padding, lists.dtype))
    return tf.ensure_shape(lists, [None, length])
