"""Raw columns -> ids, in one TensorFlow graph that training, evaluation and the exported model share."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
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
                self._tables[feature.name], size = _lookup_table(
                    vocabulary_file(directory, feature), feature
                )
            rows.append(feature.rows(size))
        self.rows = tuple(rows)
        self._groups = _groups(schema.features)
        ends = np.cumsum(self.slots)
        places = {
            f.name: range(end - f.slots, end) for f, end in zip(schema.features, ends, strict=True)
        }
        self._order = np.argsort(
            [place for group in self._groups for f in group for place in places[f.name]]
        )

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """The raw columns as the graph takes them: [B], or [B, any length] for lists."""
        return {
            c.name: tf.TensorSpec([None, None] if c.max_length else [None], c.dtype, c.name)
            for c in self.schema.inputs
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
        fields = [self._fields(group, columns) for group in self._groups]
        parts = {
            name: tf.concat(part, axis=1)
            for name, part in zip(("ids", "weights"), zip(*fields, strict=True), strict=True)
        }
        if any(np.diff(self._order) != 1):
            parts = {name: tf.gather(part, self._order, axis=1) for name, part in parts.items()}
        return {name: parts[name] for name in self.model_signature}

    def _fields(
        self, group: tuple[Feature, ...], columns: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and weights of a feature, or of several that are computed alike, [B, slots of all]."""
        feature = group[0]
        if not feature.max_length:
            ids = self._ids(group, tf.stack([columns[f.column] for f in group], axis=1))
            return ids, tf.ones_like(ids, tf.float32)
        raw = _fit(columns[feature.column], feature.max_length, ABSENT[feature.raw_dtype])
        ids = self._ids(group, raw)
        present = tf.cast(ids != MISSING, tf.float32)
        weights = present
        if feature.weights:
            given = tf.clip_by_value(
                _fit(columns[feature.weights], feature.max_length, 0.0), -_LARGEST, _LARGEST
            )
            known = (ids != MISSING) & ~tf.math.is_nan(given)
            weights = tf.where(
                known, given, 0.0
            )  # not a product: the weight of a missing value may be NaN
        if feature.pooling == "mean":
            weights = tf.math.divide_no_nan(
                weights, tf.reduce_sum(tf.abs(weights), axis=1, keepdims=True)
            )
        is_empty = tf.reduce_sum(present, axis=1, keepdims=True) == 0.0
        first = tf.one_hot(0, feature.max_length)[None, :]
        return ids, tf.where(is_empty, first, weights)

    def _ids(self, group: tuple[Feature, ...], raw: tf.Tensor) -> tf.Tensor:
        """Ids of raw values, [B, one column a feature] or, of one feature, [B, any]."""
        feature = group[0]
        if feature.kind == "log_round":
            scale = tf.constant([float(f.scale) for f in group])
            largest = tf.constant([f.largest_bucket for f in group])
            magnitude = tf.minimum(tf.abs(raw), tf.constant([f.max_abs for f in group]))
            # float32 may round max_abs itself one bucket further, which would be another field's row
            bucket = tf.sign(raw) * tf.minimum(
                tf.round(scale * tf.math.log1p(magnitude)), tf.cast(largest, tf.float32)
            )
            missing = tf.math.is_nan(raw)
            ids = tf.cast(tf.where(missing, 0.0, bucket), tf.int32) + FIRST + largest
            return tf.where(missing, MISSING, ids)
        if feature.kind == "vocabulary":
            ids = self._tables[feature.name].lookup(raw)
        elif feature.kind == "integer":
            known = (raw >= 0) & (raw < tf.constant([f.size for f in group], raw.dtype))
            ids = tf.where(known, raw + FIRST, UNSEEN)
        else:
            text = raw if raw.dtype == tf.string else tf.strings.as_string(raw)
            ids = tf.strings.to_hash_bucket_fast(text, feature.buckets) + FIRST
        return tf.where(raw == ABSENT[feature.raw_dtype], MISSING, tf.cast(ids, tf.int32))


def _groups(features: Iterable[Feature]) -> tuple[tuple[Feature, ...], ...]:
    """Features that one chain of operations can compute: a request of one row costs its operations, not its numbers."""
    groups: dict[Any, list[Feature]] = {}
    for feature in features:
        alike = feature.kind in ("integer", "log_round") and not feature.max_length
        groups.setdefault((feature.kind, feature.raw_dtype) if alike else feature.name, []).append(
            feature
        )
    return tuple(tuple(group) for group in groups.values())


def _lookup_table(path: pathlib.Path, feature: Feature) -> tuple[tf.lookup.StaticHashTable, int]:
    """The table and the number of its values."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: feature {feature.name!r} needs its vocabulary; run tafe_tf.prepare"
        )
    key_dtype = tf.string if feature.dtype == "string" else tf.int64
    if (
        path.stat().st_size == 0
    ):  # no value reached min_count; TensorFlow has no empty table, so it knows the missing
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
    lists = tf.pad(
        lists,
        [[0, 0], [0, length - tf.shape(lists)[1]]],
        constant_values=tf.constant(padding, lists.dtype),
    )
    return tf.ensure_shape(lists, [None, length])
