"""The embedding table in several parts, for servers that share it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.embedding import FusedEmbedding, TableDtype, by_name, owners_of, slots_of
from tafe_tf.types import Inputs, Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class PartitionedEmbedding(Configured):
    """A `FusedEmbedding` made of several, each with the table of some fields.

    Parameter servers share whole variables among them: one table would lie on one server. This
    layer is called, and answers, as one `FusedEmbedding` does. The fields of a table follow each
    other, but for those that use another one's rows: they are where these are. Fields whose rows
    are not trained have tables of their own, which no optimizer sees.

    Args:
        field_rows: Number of rows of each field.
        dim: Embedding dimension, d.
        parts: Largest number of tables, and of tables that are not trained; they are as equal in
            rows as whole fields allow.
        slots: Number of ids per field; one each by default.
        stddev: Standard deviation of the normal distribution that the tables start from; 0.05 by
            default.
        table_dtype: What the tables are kept in, see `FusedEmbedding`; by default what all weights
            are kept in.
        shares: Whose rows each field uses, see `FusedEmbedding`; by default its own.
        frozen: The places, from 0, of the fields with rows of their own that are not trained; none
            by default.

    Attributes:
        parts: The layers that hold the tables, those that are not trained last.
        fields: The places of each part's fields.

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
        shares: Sequence[int] | None = None,
        frozen: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        slots = slots_of(field_rows, slots)
        owners = owners_of(field_rows, shares)
        check_frozen(frozen or [], owners)
        trained = [field for field in sorted(set(owners)) if field not in (frozen or [])]
        groups = fields_of_parts(field_rows, owners, trained, parts)
        trained_parts = len(groups)
        groups += fields_of_parts(field_rows, owners, sorted(frozen or []), parts)
        self.parts: list[FusedEmbedding] = []
        self.fields = groups
        for number, fields in enumerate(groups):
            place = {field: i for i, field in enumerate(fields)}
            part = FusedEmbedding(
                [field_rows[field] for field in fields],
                dim,
                [slots[field] for field in fields],
                stddev,
                table_dtype,
                [place[owners[field]] for field in fields],
                dtype=self.dtype_policy,
                trainable=number < trained_parts,
            )
            self.parts.append(part)
        slots_of_fields = places_of_slots(slots)
        self._slots: list[list[int]] = []  # the places of each part's ids
        for fields in self.fields:
            of_part = [slots_of_fields[field] for field in fields]
            self._slots.append(list(itertools.chain.from_iterable(of_part)))
        self._field_order = order_of(self.fields)

    def build(self, input_shape: Any = None) -> None:
        """Makes the tables."""
        for part in self.parts:
            part.build()
        self.built = True

    def tables(self) -> list[FusedEmbedding]:
        """Returns the parts, in the order of their fields."""
        return list(self.parts)

    def fields_of_tables(self) -> list[list[int]]:
        """Returns, for each of `tables()`, the places of the fields that read it."""
        return [list(fields) for fields in self.fields]

    def rows_of(self, field: int) -> tuple[FusedEmbedding, int]:
        """Returns the part whose table holds a field's rows, and the first of them there."""
        for part, fields in zip(self.parts, self.fields, strict=True):
            if field in fields:
                return part.rows_of(fields.index(field))
        raise ValueError(f"there is no field {field}")

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
        joined = ops.concatenate(h, axis=1)
        return picked(joined, self._field_order)

    def look_up(self, inputs: Inputs) -> Tensor:
        """Returns the embedding of each id, before lists are pooled: [B, S] -> [B, S, d]."""
        h = []
        split = self._split(inputs)
        for part, own in zip(self.parts, split, strict=True):
            h.append(part.look_up(own))  # [B, its slots, d]
        joined = ops.concatenate(h, axis=1)
        return picked(joined, order_of(self._slots))

    def look_up_places(self, ids: Tensor, places: Sequence[int]) -> Tensor:
        """Returns the embeddings of ids of some slots alone; see `FusedEmbedding`."""
        h = []
        taken = []  # the columns of `ids` that each part takes
        for part, slots in zip(self.parts, self._slots, strict=True):
            columns = [i for i, place in enumerate(places) if place in slots]
            if columns:
                own = [slots.index(places[i]) for i in columns]
                h.append(part.look_up_places(picked(ids, columns), own))
                taken.append(columns)
        joined = ops.concatenate(h, axis=1)
        return picked(joined, order_of(taken))

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
        for places in self._slots:
            own = {}
            for name, values in by_name(inputs).items():
                if name in ("ids", "weights"):  # numbers and vectors are of no table
                    own[name] = picked(values, places)
            split.append(own)
        return split


def fields_of_parts(
    field_rows: Sequence[int],
    owners: Sequence[int],
    with_rows: Sequence[int],
    parts: int,
) -> list[list[int]]:
    """Deals fields to at most `parts` tables, each with all that use the same rows.

    Args:
        field_rows: Number of rows of each field.
        owners: The place of the field whose rows each field uses.
        with_rows: The places of the fields whose rows are dealt, in order.
        parts: Largest number of tables, 1 or more.

    Returns:
        The places of each table's fields, in order.

    Example:
        >>> fields_of_parts([5, 40, 3, 40], owners=[0, 1, 2, 1], with_rows=[0, 1, 2], parts=2)
        [[0], [1, 2, 3]]
    """
    if not with_rows:
        return []
    bounds = split_fields([field_rows[field] for field in with_rows], parts)
    found = []
    for first, end in itertools.pairwise(bounds):
        group = with_rows[first:end]
        found.append([field for field, owner in enumerate(owners) if owner in group])
    return found


def check_frozen(frozen: Sequence[int], owners: Sequence[int]) -> None:
    """Raises ValueError unless fields that are not trained are different ones with own rows."""
    own_rows = [place for place in set(frozen) if place in set(owners)]
    if len(own_rows) != len(frozen):
        rule = "must hold the places of different fields that own their rows"
        raise ValueError(f"`frozen` {rule}. Received: frozen={frozen}")


def places_of_slots(slots: Sequence[int]) -> list[list[int]]:
    """Returns the places of each field's ids among all S of a row."""
    places = []
    start = 0
    for count in slots:
        places.append(list(range(start, start + count)))
        start += count
    return places


def order_of(groups: Sequence[Sequence[int]]) -> list[int]:
    """Returns where each of 0, 1, ... stands when the groups lie side by side."""
    side_by_side = list(itertools.chain.from_iterable(groups))
    return sorted(range(len(side_by_side)), key=side_by_side.__getitem__)


def picked(values: Tensor, places: Sequence[int]) -> Tensor:
    """Returns some columns of values [B, n, ...]; a slice where they follow each other."""
    start = places[0]
    end = start + len(places)
    if list(places) != list(range(start, end)):
        return ops.take(values, ops.convert_to_tensor(places, dtype="int32"), axis=1)
    if start == 0 and values.shape[1] == end:
        return values
    return values[:, start:end]


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
