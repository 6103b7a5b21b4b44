"""Raw columns -> ids, in the one graph of training, evaluation and the exported model."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.features.buckets import bucket_ids, quantile_ids
from tafe_tf.features.learned_numbers import read_edges, read_spread, scaled_features
from tafe_tf.features.lookup_table import lookup_table
from tafe_tf.features.missing_texts import MissingTexts
from tafe_tf.features.vocabulary import vocabulary_features, vocabulary_file
from tafe_tf.schema import ABSENT, FIRST, MISSING, UNSEEN, Feature, Schema

_LARGEST = 1e9  # magnitude of a weight; files with infinite ones are refused, requests are not

_MOST_DEVIATIONS = 8.0  # of a number from the mean; what lies farther off counts as so far
_LARGEST_OF_VECTOR = 32.0  # magnitude of a vector's number, where the median length is 1

Group = tuple[Feature, ...]


class Features(tf.Module):
    """The feature contract of a dataset: raw columns in, ids of the fused embedding table out.

    Every field keeps id 0 for unseen values and id 1 for missing ones; its own values start at 2.
    A missing value is "" or a text of `Schema.missing` (strings), -1 (integers) or NaN (numbers).
    Entries of a list that are missing do not count, and an empty list is one missing value. In a
    sequence an entry counts that has a value in one of its lists, and an empty one has no entry.

    Args:
        schema: The dataset's schema.
        directory: The folder that holds `vocabulary/<feature>.txt` for each feature of kind
            "vocabulary" and `vocabulary/<feature>.json` for each of kind "quantile", "number" and
            "vector", as `tafe_tf.prepare` writes them.

    Attributes:
        rows: The number of embedding rows of each feature with ids, those of sequences among them;
            of one that uses another one's rows, the number of those.
        slots: The number of ids of each of these features.

    Raises:
        FileNotFoundError: If a vocabulary, or the edges of a feature, are missing.
        SchemaError: If one is damaged.

    Example:
        >>> import tensorflow as tf
        >>> from tafe_tf.features.graph import Features
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> hour = Feature(name="hour", kind="integer", size=24)
        >>> schema = Schema(name="shop", features=(hour,), tasks=(Task(name="a"), Task(name="b")))
        >>> features = Features(schema, "a folder without vocabularies")
        >>> features({"hour": tf.constant([0, 23, 24, -1], tf.int64)})["ids"].numpy().tolist()
        [[2], [25], [0], [1]]
    """

    def __init__(self, schema: Schema, directory: str | pathlib.Path) -> None:
        super().__init__(name="features")
        self.schema = schema
        self._featured = schema.id_features
        self.slots = tuple(feature.slots for feature in self._featured)
        self._tables: dict[str, tf.lookup.StaticHashTable] = {}
        self._edges: dict[str, np.ndarray] = {}
        for feature in scaled_features(schema):
            if feature.kind == "quantile":
                self._edges[feature.name] = read_edges(directory, feature)
        sizes: dict[str, int] = {}
        for feature in vocabulary_features(schema):
            path = vocabulary_file(directory, feature)
            self._tables[feature.name], sizes[feature.name] = lookup_table(path, feature)
        self.rows = tuple(feature.rows(sizes.get(feature.owner, 0)) for feature in self._featured)
        self._numbers = _of_kind(schema, "number")
        self._vectors = _of_kind(schema, "vector")
        self._spreads = {}
        for feature in (*self._numbers, *self._vectors):
            self._spreads[feature.name] = read_spread(directory, feature)
        self._missing = MissingTexts(schema)

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """The raw columns of a served model: [B], [B, any length] for lists, [B, n] for vectors."""
        specs = {}
        for column in self.schema.served_inputs:
            shape: list[int | None] = [None, None] if column.max_length else [None]
            if column.is_exact:
                shape = [None, column.max_length]
            specs[column.name] = tf.TensorSpec(
                shape,
                column.dtype,
                column.input,
            )
        return specs

    @property
    def model_signature(self) -> dict[str, tf.TensorSpec]:
        """The model's inputs: "ids" and, if some field holds lists, "weights"; [B, S] each.

        Where there are such features also "numbers", [B, M], and "vectors", [B, V].
        """
        shape = [None, sum(self.slots)]
        inputs = {"ids": tf.TensorSpec(shape, tf.int32)}
        if any(feature.max_length for feature in self._featured):
            inputs["weights"] = tf.TensorSpec(shape, tf.float32)
        if self._numbers:
            inputs["numbers"] = tf.TensorSpec([None, len(self._numbers)], tf.float32)
        if self._vectors:
            width = sum(feature.length for feature in self._vectors)
            inputs["vectors"] = tf.TensorSpec([None, width], tf.float32)
        return inputs

    @property
    def encoders(self) -> list[dict[str, Any]] | None:
        """What makes the fields that are no pooled ids, see `tafe_tf.layers.encoders`, if any."""
        places = {feature.name: place for place, feature in enumerate(self._featured)}
        of_user = {feature.name for feature in self._featured if feature.side == "user"}
        encoders: list[dict[str, Any]] = []
        for feature in self._numbers:
            number: dict[str, Any] = {"kind": "number", "embedding": feature.embedding}
            if feature.buckets:
                number["buckets"] = feature.buckets
            encoders.append(number)
        for feature in self._vectors:
            encoders.append({"kind": "vector", "length": feature.length})
        for sequence in self.schema.sequences:
            encoders.append(
                {
                    "kind": "sequence",
                    "features": [places[name] for name in sequence.features],
                    "query": [places[name] for name in sequence.query],
                    "once": of_user.issuperset(sequence.features),
                    **sequence.settings,
                }
            )
        return encoders or None

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Makes the model's inputs.

        Args:
            columns: The raw columns that the features read; further ones are ignored. Where those
                of features with `serve_as` are not among them, that value stands in every row.

        Returns:
            "ids", int32 [B, S], each counted within its field; and, if some field holds lists, the
            pooling weights "weights", float32 [B, S]. S is the sum of `slots`. The ids of a
            sequence stand with the newest first, and the weights of its padding are 0. Where there
            are features of these kinds, also "numbers", float32 [B, M], scaled by those of the
            training rows; and "vectors", float32 [B, V], whose length is 1 in the median of the
            training rows. Missing ones are NaN.
        """
        columns = {**self._served_as(columns), **columns}
        missing = self._missing.of_columns(columns)
        parts = self._parts(columns, self._featured, missing) | self._further(columns)
        return {name: parts[name] for name in self.model_signature}

    def without_sequences(self, directory: str | pathlib.Path) -> Features:
        """The same features, each with lists pooled by its mean, for what knows no sequences.

        Args:
            directory: The folder that holds the vocabularies.
        """
        if not self.schema.sequences:
            return self
        return Features(dataclasses.replace(self.schema, sequences=()), directory)

    @property
    def ranked_signature(self) -> dict[str, tf.TensorSpec] | None:
        """The model's inputs for many rows of one user whose sequences are given once.

        None if no sequence is of the user alone.
        """
        once = self._once()
        if not once:
            return None
        inputs = dict(self.model_signature)
        slots = sum(feature.slots for feature in once)
        for name, rows, width in (("", None, sum(self.slots) - slots), ("once_", 1, slots)):
            inputs[f"{name}ids"] = tf.TensorSpec([rows, width], tf.int32)
            inputs[f"{name}weights"] = tf.TensorSpec([rows, width], tf.float32)
        return inputs

    def ranked(
        self,
        columns: Mapping[str, tf.Tensor],
        of_user: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Makes the model's inputs for n rows of one user, see `FieldEmbedding`.

        Args:
            columns: The raw columns of the rows, [n]; those of the user's sequences are not read.
            of_user: The raw columns of these sequences, [1, any length].

        Returns:
            What `ranked_signature` says.
        """
        columns = {**self._served_as(columns), **columns}
        once = self._once()
        others = [feature for feature in self._featured if feature not in once]
        missing = self._missing.of_columns(columns)
        parts = self._parts(columns, others, missing) | self._further(columns)
        for name, part in self._parts(of_user, once, {}).items():
            parts[f"once_{name}"] = part
        return {name: parts[name] for name in self.ranked_signature or {}}

    def _once(self) -> list[Feature]:
        """The features of the user's sequences."""
        taken: set[str] = set()
        for sequence in self.schema.sequences:
            taken.update(sequence.features)
        return [
            feature
            for feature in self._featured
            if feature.name in taken and feature.side == "user"
        ]

    def _parts(
        self,
        columns: Mapping[str, tf.Tensor],
        features: Sequence[Feature],
        missing: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """The model's ids and weights of some of the features; `missing` as in `_fields`."""
        groups = _groups(self.schema, features)
        order = _order(features, groups)
        ids = []
        weights = []
        for group in groups:
            group_ids, group_weights = self._fields(group, columns, missing)
            ids.append(group_ids)
            weights.append(group_weights)
        parts = {
            "ids": tf.concat(ids, axis=1),
            "weights": tf.concat(weights, axis=1),
        }
        if "weights" not in self.model_signature:
            del parts["weights"]
        if order is None:
            return parts
        return {name: tf.gather(part, order, axis=1) for name, part in parts.items()}

    def _further(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The model's inputs of features without ids: "numbers" and "vectors", where there are."""
        inputs = {}
        if self._numbers:
            inputs["numbers"] = self._scaled_numbers(columns)
        if self._vectors:
            inputs["vectors"] = self._scaled_vectors(columns)
        return inputs

    @property
    def counted_slots(self) -> tuple[int, ...]:
        """The number of values of each feature that `counted_ids` has, in that order."""
        others = len(self._numbers) + len(self._vectors)
        return (*self.slots, *[1] * others)

    def counted_ids(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Which values are missing and unseen, of all features, see `Schema.counted_features`.

        Args:
            inputs: What a call gives.

        Returns:
            int32 [B, sum of `counted_slots`]: the ids; and for each number and each vector
            `MISSING` or `FIRST`.
        """
        parts = [inputs["ids"]]
        if self._numbers:
            parts.append(_presence(inputs["numbers"]))
        if self._vectors:
            starts = itertools.accumulate((vector.length for vector in self._vectors), initial=0)
            first = list(starts)[:-1]  # which is missing where any is
            parts.append(_presence(tf.gather(inputs["vectors"], first, axis=1)))
        return tf.concat(parts, axis=1) if len(parts) > 1 else inputs["ids"]

    def _scaled_numbers(self, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """All numbers as deviations from their means of logarithms, see `Spread`, [B, M]."""
        raw = tf.stack([columns[feature.column] for feature in self._numbers], axis=1)
        raw = self._missing.without_numbers(raw)
        spreads = [self._spreads[feature.name] for feature in self._numbers]
        unit = tf.constant([spread.unit for spread in spreads])
        mean = tf.constant([spread.mean for spread in spreads])
        deviation = tf.constant([spread.deviation for spread in spreads])
        logs = tf.sign(raw) * tf.math.log1p(tf.abs(raw) / unit)
        z = tf.clip_by_value((logs - mean) / deviation, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        return tf.where(tf.math.is_nan(raw), np.float32(np.nan), z)

    def _scaled_vectors(self, columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """All vectors side by side, [B, V]; one of which a number is missing is missing."""
        scaled = []
        for feature in self._vectors:
            raw = tf.ensure_shape(columns[feature.column], [None, feature.length])
            raw = self._missing.without_numbers(raw)
            x = raw / np.float32(self._spreads[feature.name].unit)
            x = tf.clip_by_value(x, -_LARGEST_OF_VECTOR, _LARGEST_OF_VECTOR)
            is_missing = tf.reduce_any(tf.math.is_nan(raw), axis=1, keepdims=True)
            scaled.append(tf.where(is_missing, np.float32(np.nan), x))
        return tf.concat(scaled, axis=1)

    def _served_as(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The columns that are not there, [B], each of the one value that is served."""
        fixed = {}
        for feature in self.schema.features:
            if feature.serve_as is not None and feature.column not in columns:
                served = self.schema.served_inputs[0]
                rows = tf.shape(columns[served.name])[:1]
                value = tf.constant(feature.serve_as, feature.raw_dtype)
                fixed[feature.column] = tf.fill(rows, value)
        return fixed

    def _fields(
        self,
        group: Group,
        columns: Mapping[str, tf.Tensor],
        missing: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and weights of features that are computed alike, [B, slots of all].

        `missing` says of each column of one text a row where it is missing, [B, 1].
        """
        feature = group[0]
        for sequence in self.schema.sequences:
            if feature.name in sequence.features:
                return self._sequence(group, sequence.newest, columns)
        if feature.max_length:
            return self._list_field(feature, columns)
        of_group = [columns[feature.column] for feature in group]
        raw = tf.stack(of_group, axis=1)
        if feature.raw_dtype == "string":
            is_missing = missing[feature.column]
        else:
            raw = self._missing.without_numbers(raw)
            is_missing = raw == ABSENT[feature.raw_dtype]
        ids = self._ids(group, raw, is_missing)
        return ids, tf.ones_like(ids, tf.float32)

    def _sequence(
        self,
        group: Group,
        newest: str,
        columns: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and weights of the lists of a sequence, the newest entry first, [B, slots of all]."""
        length = group[0].max_length
        lists = [columns[feature.column] for feature in group]
        width = tf.reduce_max([tf.shape(raw)[1] for raw in lists])
        width = tf.maximum(width, length)
        of_lists = []
        for feature, raw in zip(group, lists, strict=True):
            raw = _padded(raw, width, ABSENT[feature.raw_dtype])
            of_lists.append(self._ids_of_lists(feature, raw))
        ids = tf.stack(of_lists, axis=1)  # [B, lists, width]
        is_entry = tf.reduce_any(ids != MISSING, axis=1)  # [B, width]
        place = tf.range(width)
        if newest == "last":
            ends = tf.where(is_entry, place + 1, 0)
            end = tf.reduce_max(ends, axis=1, keepdims=True)  # after the newest, [B, 1]
            from_newest = end - 1 - tf.range(length)  # [B, L]
            has_place = from_newest >= 0
            from_newest = tf.maximum(from_newest, 0)
            ids = tf.gather(ids, from_newest, axis=2, batch_dims=1)  # [B, lists, L]
            ids = tf.where(has_place[:, None], ids, MISSING)
        else:
            ids = ids[:, :, :length]
        ids = tf.reshape(ids, [-1, len(group) * length])
        return ids, tf.cast(ids != MISSING, tf.float32)

    def _ids_of_lists(self, feature: Feature, raw: tf.Tensor) -> tf.Tensor:
        """Ids of the values of lists, [B, any]."""
        if feature.raw_dtype == "string":
            is_missing = self._missing.table.lookup(raw)
        else:
            raw = self._missing.without_numbers(raw)
            is_missing = raw == ABSENT[feature.raw_dtype]
        return self._ids((feature,), raw, is_missing)

    def _list_field(
        self, feature: Feature, columns: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and weights of a feature that holds lists, [B, max_length]."""
        raw = _fit(
            columns[feature.column],
            feature.max_length,
            ABSENT[feature.raw_dtype],
        )
        ids = self._ids_of_lists(feature, raw)
        present = tf.cast(ids != MISSING, tf.float32)
        weights = present
        if feature.weights:
            given = _fit(columns[feature.weights], feature.max_length, 0.0)
            given = self._missing.without_numbers(given)
            given = tf.clip_by_value(given, -_LARGEST, _LARGEST)
            known = (ids != MISSING) & ~tf.math.is_nan(given)
            # Not a product, since the weight of a missing value may be NaN.
            weights = tf.where(known, given, 0.0)
        if feature.pooling == "mean":
            sizes = tf.abs(weights)
            total = tf.reduce_sum(sizes, axis=1, keepdims=True)
            weights = tf.math.divide_no_nan(weights, total)
        values = tf.reduce_sum(present, axis=1, keepdims=True)
        is_empty = values == 0.0
        first = tf.one_hot(0, feature.max_length)[None, :]
        return ids, tf.where(is_empty, first, weights)

    def _ids(self, group: Group, raw: tf.Tensor, is_missing: tf.Tensor) -> tf.Tensor:
        """Ids of raw values, [B, one column a feature] or, of one feature, [B, any]."""
        feature = group[0]
        if feature.kind == "log_round":
            return bucket_ids(group, raw)
        if feature.kind == "quantile":
            edges = [self._edges[feature.owner] for feature in group]
            return quantile_ids(edges, raw)
        if feature.kind == "vocabulary":
            ids = self._tables[feature.owner].lookup(raw)
        elif feature.kind == "integer":
            of_group = [feature.size for feature in group]
            sizes = tf.constant(of_group, raw.dtype)
            known = (raw >= 0) & (raw < sizes)
            ids = tf.where(known, raw + FIRST, UNSEEN)
        else:
            text = raw
            if raw.dtype != tf.string:
                text = tf.strings.as_string(raw)
            bucket = tf.strings.to_hash_bucket_fast(text, feature.buckets)
            ids = bucket + FIRST
        return tf.where(is_missing, MISSING, tf.cast(ids, tf.int32))


def _presence(numbers: tf.Tensor) -> tf.Tensor:
    """`MISSING` where numbers are NaN, and else `FIRST`, in the same shape."""
    return tf.where(tf.math.is_nan(numbers), MISSING, FIRST)


def _of_kind(schema: Schema, kind: str) -> tuple[Feature, ...]:
    """The features of one kind, in schema order."""
    return tuple(feature for feature in schema.features if feature.kind == kind)


def _groups(schema: Schema, features: Iterable[Feature]) -> tuple[Group, ...]:
    """Features that one chain of operations can compute together, and those of a sequence.

    A request of one row costs as much as it has operations, however many numbers each takes.
    """
    groups: dict[Hashable, list[Feature]] = {}
    sequences: dict[str, str] = {}
    for sequence in schema.sequences:
        sequences |= dict.fromkeys(sequence.features, sequence.name)
    for feature in features:
        alike = feature.kind in ("integer", "log_round", "quantile") and not feature.max_length
        key = (feature.kind, feature.raw_dtype) if alike else feature.name
        key = sequences.get(feature.name, key)
        groups.setdefault(key, []).append(feature)
    return tuple(tuple(group) for group in groups.values())


def _order(
    features: Iterable[Feature],
    groups: Iterable[Group],
) -> np.ndarray | None:
    """Where each slot of the schema's order stands in the groups' order, [S]; None if unchanged."""
    places: dict[str, range] = {}
    end = 0
    for feature in features:
        places[feature.name] = range(end, end + feature.slots)
        end += feature.slots
    grouped: list[int] = []
    for group in groups:
        for feature in group:
            grouped += places[feature.name]
    order = np.argsort(grouped)
    is_unchanged = np.array_equal(order, np.arange(end))
    return None if is_unchanged else order


def _padded(
    lists: tf.Tensor,
    width: tf.Tensor,
    padding: str | int | float,
) -> tf.Tensor:
    """Pads [B, any] to [B, width]."""
    short = width - tf.shape(lists)[1]
    fill = tf.constant(padding, lists.dtype)
    return tf.pad(lists, [[0, 0], [0, short]], constant_values=fill)


def _fit(
    lists: tf.Tensor,
    length: int,
    padding: str | int | float,
) -> tf.Tensor:
    """Cuts or pads [B, any] to [B, length]."""
    lists = lists[:, :length]
    short = length - tf.shape(lists)[1]
    fill = tf.constant(padding, lists.dtype)
    lists = tf.pad(
        lists,
        [[0, 0], [0, short]],
        constant_values=fill,
    )
    return tf.ensure_shape(lists, [None, length])
