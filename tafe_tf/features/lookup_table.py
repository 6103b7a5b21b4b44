"""Ids of values by their vocabulary's file."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from tafe_tf.data.manifest import entry
from tafe_tf.schema import ABSENT, FIRST, MISSING, UNSEEN, Feature, SchemaError


class _VocabularyFile(tf.lookup.TextFileInitializer):
    """A vocabulary, which a graph names by its content.

    TensorFlow would name it by its path, so that the same run, exported from another folder or from
    a store, would give other bytes.

    Args:
        path: The file.
        name: The feature's.
        key_dtype: The type of the values.
        **settings: Of `tf.lookup.TextFileInitializer`.
    """

    def __init__(
        self,
        path: pathlib.Path,
        name: str,
        *,
        key_dtype: tf.DType,
        **settings: Any,
    ) -> None:
        content = entry(path)["sha256"]
        self._name_in_graphs = f"vocabulary_{name}_{key_dtype.name}_{content}"
        super().__init__(str(path), key_dtype=key_dtype, **settings)

    @property
    def _shared_name(self) -> str:
        return self._name_in_graphs


def lookup_table(
    path: pathlib.Path,
    feature: Feature,
) -> tuple[tf.lookup.StaticHashTable, int]:
    """The lookup table of a vocabulary, and the number of its values."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: feature {feature.name!r} needs its vocabulary; run tafe_tf.prepare"
        )
    key_dtype = tf.string if feature.dtype == "string" else tf.int64
    if path.stat().st_size == 0:
        # No value reached min_count. TensorFlow has no empty table, so it knows the missing value.
        key = tf.constant([ABSENT[feature.dtype]], key_dtype)
        value = tf.constant([MISSING], tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(key, value)
        table = tf.lookup.StaticHashTable(initializer, default_value=UNSEEN)
        return table, 0
    whole_line = tf.lookup.TextFileIndex.WHOLE_LINE
    initializer = _VocabularyFile(
        path,
        feature.name,
        key_dtype=key_dtype,
        key_index=whole_line if key_dtype == tf.string else 0,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        value_index_offset=FIRST,
    )
    try:
        table = tf.lookup.StaticHashTable(initializer, default_value=UNSEEN)
        return table, int(table.size())
    except tf.errors.OpError as error:
        raise SchemaError(f"{path}: is damaged: {error.message[:120]}; build it again") from None
