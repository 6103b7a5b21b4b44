"""Rows of embedding tables that start from given vectors."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tafe_tf.features.pretrained import Start
from tafe_tf.models import FunnelModel


def assign(model: FunnelModel, starts: Sequence[Start]) -> None:
    """Gives rows of a model's tables their vectors, in each of its embeddings.

    Args:
        model: The model.
        starts: Which rows of which fields, and the vectors.
    """
    for embedding in model.embeddings_of_model():
        for start in starts:
            layer, first = embedding.rows_of(start.field)
            table = layer.table
            values = keras.ops.convert_to_numpy(table).copy()
            values[first + start.rows] = start.vectors.astype(values.dtype)
            table.assign(values)
