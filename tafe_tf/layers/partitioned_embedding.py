"""The embedding table in several parts, for servers that share it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.embedding import FusedEmbedding


@keras.saving.register_keras_serializable("tafe_tf")
class PartitionedEmbedding(keras.layers.Layer):
    """`FusedEmbedding` as several, each with the table of some consecutive fields; called and answering as one.

    Variables are what parameter servers share among them: one table would be on one server.

    Args:
        field_rows: number of rows of each field.
        dim: d, the embedding dimension.
        parts: at most so many tables, as equal in rows as whole fields allow.
        slots: ids per field, by default one each.
        **kwargs: of the parts, see `FusedEmbedding`.
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        dim: int,
        parts: int,
        slots: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=kwargs.get("dtype"))
        slots = [1] * len(field_rows) if slots is None else list(slots)
        bounds = split_fields(field_rows, parts)
        self.slot_bounds = [sum(slots[:f]) for f in bounds]
        fields = [slice(start, end) for start, end in itertools.pairwise(bounds)]
        self.parts = [FusedEmbedding(field_rows[f], dim, slots[f], **kwargs) for f in fields]

    def build(self, input_shape: Any = None) -> None:
        """Makes the tables."""
        for part in self.parts:
            part.build()
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Looks up and pools: [B, S] -> [B, F, d]."""
        inputs = inputs if isinstance(inputs, Mapping) else {"ids": inputs}
        bounds = itertools.pairwise(self.slot_bounds)
        pieces = [
            {name: values[:, start:end] for name, values in inputs.items()} for start, end in bounds
        ]
        return ops.concatenate(
            [part(piece) for part, piece in zip(self.parts, pieces, strict=True)], axis=1
        )


def split_fields(field_rows: Sequence[int], parts: int) -> list[int]:
    """Where consecutive fields are cut into at most `parts` groups so that the largest group's rows are fewest.

    Returns:
        First field of each group, and the number of fields.
    """
    low, high = max(field_rows), sum(field_rows)
    while low < high:  # the least capacity that the fields fit into
        middle = (low + high) // 2
        low, high = (
            (low, middle) if len(_fill(field_rows, middle)) - 1 <= parts else (middle + 1, high)
        )
    return _fill(field_rows, low)


def _fill(field_rows: Sequence[int], capacity: int) -> list[int]:
    bounds, rows = [0], 0
    for field, count in enumerate(field_rows):
        if rows + count > capacity:
            bounds, rows = [*bounds, field], 0
        rows += count
    return [*bounds, len(field_rows)]
