"""The embedding table in several parts, for servers that share it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.embedding import FusedEmbedding, TableDtype, by_name, slots_of
from tafe_tf.types import Inputs, Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class PartitionedEmbedding(Configured):
    """A `FusedEmbedding` made of several, each with the table of some consecutive fields.

    Parameter servers share whole variables among them: one table would lie on one server. This
    layer is called, and answers, as one `FusedEmbedding` does.

    Args:
        field_rows: Number of rows of each field.
        dim: Embedding dimension, d.
        parts: Largest number of tables; they are as equal in rows as whole fields allow.
        slots: Number of ids per field; one each by default.
        stddev: Standard deviation of the normal distribution that the tables start from; 0.05 by
            default.
        table_dtype: What the tables are kept in, see `FusedEmbedding`; by default what all weights
            are kept in.

    Attributes:
        parts: The layers that hold the tables.

    Call arguments:
        inputs: Ids and pooling weights, as of `FusedEmbedding`.

    Returns:
        H, [B, F, d].

    Example:
        >>> import numpy as np
        >>> embedding = PartitionedEmbedding(field_rows=[5, 40, 3, 20], dim=2, parts=2)
        >>> [part.field_rows for part in embedding.parts]
        [[5, 40], [3, 20]]
        >>> tuple(embedding(np.zeros((1, 4), int)).shape)
        (1, 4, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        dim: int,
        parts: int,
        slots: Sequence[int] | None = None,
        stddev: float = 0.05,
        table_dtype: TableDtype | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        slots = slots_of(field_rows, slots)
        self.parts: list[FusedEmbedding] = []
        self.slot_bounds = [0]
        bounds = split_fields(field_rows, parts)
        for first, end in itertools.pairwise(bounds):
            part = FusedEmbedding(
                field_rows[first:end],
                dim,
                slots[first:end],
                stddev,
                table_dtype,
                dtype=self.dtype_policy,
            )
            self.parts.append(part)
            slots_so_far = sum(slots[:end])
            self.slot_bounds.append(slots_so_far)

    def build(self, input_shape: Any = None) -> None:
        """Makes the tables."""
        for part in self.parts:
            part.build()
        self.built = True

    def tables(self) -> list[FusedEmbedding]:
        """Returns the parts, in the order of their fields."""
        return list(self.parts)

    def rows_read(self, inputs: Inputs) -> list[Tensor]:
        """Returns, for each of `tables()`, the rows that a call with these inputs reads, [B, S]."""
        rows = []
        split = self._split(inputs)
        for part, own in zip(self.parts, split, strict=True):
            rows += part.rows_read(own)
        return rows

    def call(self, inputs: Inputs) -> Tensor:
        """Looks up and pools: [B, S] -> [B, F, d]."""
        h = []
        split = self._split(inputs)
        for part, own in zip(self.parts, split, strict=True):
            h.append(part(own))  # [B, its fields, d]
        return ops.concatenate(h, axis=1)

    def look_up(self, inputs: Inputs) -> Tensor:
        """Returns the embedding of each id, before lists are pooled: [B, S] -> [B, S, d]."""
        h = []
        split = self._split(inputs)
        for part, own in zip(self.parts, split, strict=True):
            h.append(part.look_up(own))  # [B, its slots, d]
        return ops.concatenate(h, axis=1)

    def look_up_places(self, ids: Tensor, places: Sequence[int]) -> Tensor:
        """Returns the embeddings of ids of some slots alone; see `FusedEmbedding`."""
        h = []
        first = 0
        bounds = itertools.pairwise(self.slot_bounds)
        for part, (start, end) in zip(self.parts, bounds, strict=True):
            own = [place - start for place in places if start <= place < end]
            if own:
                last = first + len(own)
                h.append(part.look_up_places(ids[:, first:last], own))
                first = last
        return ops.concatenate(h, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Returns [B, F, d]."""
        ids_shape = by_name(input_shape)["ids"]
        batch = ids_shape[0]
        fields = sum(len(part.field_rows) for part in self.parts)
        first, *_ = self.parts
        return (batch, fields, first.dim)

    def _split(self, inputs: Inputs) -> list[dict[str, Tensor]]:
        """Cuts the inputs into those of each part."""
        split = []
        for start, end in itertools.pairwise(self.slot_bounds):
            own = {}
            for name, values in by_name(inputs).items():
                if name in ("ids", "weights"):  # numbers and vectors are of no table
                    own[name] = values[:, start:end]
            split.append(own)
        return split


def split_fields(field_rows: Sequence[int], parts: int) -> list[int]:
    """Cuts consecutive fields into at most `parts` groups, so that the largest has the fewest rows.

    Args:
        field_rows: Number of rows of each field.
        parts: Largest number of groups, 1 or more.

    Returns:
        The first field of each group, and last the number of fields.

    Example:
        >>> split_fields([5, 40, 3, 20], parts=3)
        [0, 1, 2, 4]
    """
    low = max(field_rows)
    high = sum(field_rows)
    while low < high:  # a bisection for the least capacity that the fields fit into
        middle = (low + high) // 2
        groups = len(_fill(field_rows, middle)) - 1
        if groups <= parts:
            high = middle
        else:
            low = middle + 1
    return _fill(field_rows, low)


def _fill(field_rows: Sequence[int], capacity: int) -> list[int]:
    """Begins a new group whenever the next field would not fit; returns as `split_fields`."""
    bounds = [0]
    rows = 0
    for field, count in enumerate(field_rows):
        if rows + count > capacity:
            bounds.append(field)
            rows = 0
        rows += count
    return [*bounds, len(field_rows)]
