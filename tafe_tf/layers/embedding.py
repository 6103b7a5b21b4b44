"""One embedding table for all fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.id_check import check_ids
from tafe_tf.types import Inputs, Shape, Tensor

TableDtype = Literal["float32", "bfloat16", "float16"]


@keras.saving.register_keras_serializable("tafe_tf")
class FusedEmbedding(Configured):
    """The input embeddings H = [h_1, ..., h_F] (section 3.1), read from one table in one gather.

    Field f owns `field_rows[f]` consecutive rows of the table, from its offset on, or uses the rows
    of another one (`shares`). A field that holds lists takes `slots[f]` ids; h_f is then the sum of
    their embeddings times their pooling weights.

    Args:
        field_rows: Number of rows of each field; of one that shares, the number of those it uses.
        dim: Embedding dimension, d.
        slots: Number of ids per field; one each by default.
        stddev: Standard deviation of the normal distribution that the table starts from; 0.05 by
            default.
        table_dtype: What the table is kept in, "float32", "bfloat16" or "float16"; by default what
            all weights are kept in. Rows are cast to the compute dtype once they are read. Only
            `tafe_tf.optimizers.LazyAdam` trains half precision: Keras's Adam computes in the
            weight's dtype, where beta_2 = 0.999 is 1 and nothing moves.
        shares: For each field the place, from 0, of the field whose rows it uses; by default its
            own.
        trainable: Whether training changes the table. The default is True.

    Attributes:
        table: The weight, [rows, d]; rows is the sum of `field_rows` over the fields that own
            theirs.
        starts: The first row of each field's rows, [F].
        reader: None, or a function from rows [B, S] of the table to their embeddings [B, S, d]. It
            is then asked in place of the table, which lets an export store fewer bits.

    Call arguments:
        inputs: Integer ids [B, S], S the sum of `slots`, each from 0 to its field's rows - 1; or a
            mapping that holds them as "ids" and pooling weights [B, S] as "weights". Weights are
            required where a field has several slots; `tafe_tf.features.graph.Features` makes both.

    Returns:
        H, [B, F, d].

    Raises:
        ValueError: If a field has no row, `slots` or `shares` does not fit `field_rows`,
            `table_dtype` is none of the three, weights are needed and missing, or an id lies
            outside its field's rows, see `check_ids`.

    Example:
        >>> import numpy as np
        >>> embedding = FusedEmbedding(field_rows=[3, 4], dim=2)
        >>> tuple(embedding(np.array([[0, 1], [2, 3]])).shape)
        (2, 2, 2)
        >>> embedding.offsets  # the second field's rows follow the first one's
        [0, 3]
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        dim: int,
        slots: Sequence[int] | None = None,
        stddev: float = 0.05,
        table_dtype: TableDtype | None = None,
        shares: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.field_rows = [int(rows) for rows in field_rows]
        if not self.field_rows or min(self.field_rows) < 1:
            raise ValueError(
                f"`field_rows` must hold positive integers. Received: field_rows={field_rows}"
            )
        self.slots = slots_of(self.field_rows, slots)
        if table_dtype not in (None, "float32", "bfloat16", "float16"):
            raise ValueError(
                f"`table_dtype` must be float32, bfloat16 or float16. Received: {table_dtype=}"
            )
        self.dim = dim
        self.stddev = stddev
        self.table_dtype = table_dtype
        self.reader: Callable[[Tensor], Tensor] | None = None
        owners = owners_of(self.field_rows, shares)
        first_rows = {}
        self.rows = 0  # of the table
        for field, rows in enumerate(self.field_rows):
            if owners[field] == field:
                first_rows[field] = self.rows
                self.rows += rows
        self.starts = [first_rows[owner] for owner in owners]
        self.offsets: list[int] = []  # of each slot, [S]
        for start, count in zip(self.starts, self.slots, strict=True):
            self.offsets += [start] * count

    def build(self, input_shape: Any = None) -> None:
        """Makes the table, [rows, d]."""
        self.table = self.add_weight(
            name="table",
            shape=(self.rows, self.dim),
            initializer=self._initializer(),
            dtype=self.table_dtype,
            trainable=self.trainable,
            autocast=False,  # the rows of the batch are cast, not the table
        )
        self.built = True

    def _initializer(self) -> Callable[..., Tensor]:
        """Draws in full precision, so that a seed gives a half-precision table the same numbers."""
        normal = keras.initializers.RandomNormal(stddev=self.stddev)

        def start(shape: Shape, dtype: Any) -> Tensor:
            wide = keras.backend.result_type(dtype, "float32")
            drawn = normal(shape, wide)
            return ops.cast(drawn, dtype)

        return start

    def tables(self) -> list[FusedEmbedding]:
        """Returns this layer alone; `PartitionedEmbedding` returns its parts."""
        return [self]

    def rows_of(self, field: int) -> tuple[FusedEmbedding, int]:
        """Returns the layer whose table holds a field's rows, and the first of them there."""
        return self, self.starts[field]

    def fields_of_tables(self) -> list[list[int]]:
        """Returns, for each of `tables()`, the places of the fields that read it."""
        return [list(range(len(self.field_rows)))]

    def rows_read(self, inputs: Inputs) -> list[Tensor]:
        """Returns, for each of `tables()`, the rows that a call with these inputs reads, [B, S]."""
        ids = by_name(inputs)["ids"]
        ids = ops.cast(ids, "int32")
        offsets = ops.convert_to_tensor(self.offsets, dtype="int32")  # [S]
        return [ids + offsets]

    def call(self, inputs: Inputs) -> Tensor:
        """Looks up and pools: [B, S] -> [B, F, d]."""
        h = self.look_up(inputs)  # [B, S, d]
        weights = by_name(inputs).get("weights")
        has_lists = len(self.offsets) > len(self.slots)
        if weights is None and has_lists:
            raise ValueError(
                "fields with several slots need pooling weights. Received: inputs without 'weights'"
            )
        if weights is None:
            return h
        return pool(h, weights, self.slots)

    def look_up(self, inputs: Inputs) -> Tensor:
        """Returns the embedding of each id, before lists are pooled: [B, S] -> [B, S, d]."""
        check_ids(by_name(inputs)["ids"], self.field_rows, self.slots)
        (rows,) = self.rows_read(inputs)
        h = self._look_up(rows)
        return ops.cast(h, self.compute_dtype)

    def look_up_places(self, ids: Tensor, places: Sequence[int]) -> Tensor:
        """Returns the embeddings of ids of some slots alone.

        Args:
            ids: [B, s].
            places: The slots that they stand for, in order, [s].

        Returns:
            [B, s, d].
        """
        offsets = ops.convert_to_tensor([self.offsets[place] for place in places], dtype="int32")
        h = self._look_up(ops.cast(ids, "int32") + offsets)
        return ops.cast(h, self.compute_dtype)

    def _look_up(self, rows: Tensor) -> Tensor:
        """Returns rows of the table, [B, S, d]."""
        if self.reader is not None:
            return self.reader(rows)
        table = self.table.value
        if hasattr(table, "_get"):  # tf.distribute's container: this replica's copy
            table = table._get()
        # A TensorFlow variable, which `ops.take` would copy whole.
        if hasattr(table, "sparse_read"):
            return table.sparse_read(rows)
        return ops.take(table, rows, axis=0)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Returns [B, F, d]."""
        ids_shape = by_name(input_shape)["ids"]
        batch = ids_shape[0]
        return (batch, len(self.field_rows), self.dim)


def pool(h: Tensor, weights: Tensor, slots: Sequence[int]) -> Tensor:
    """Sums the slots of each field by their weights.

    Args:
        h: The embeddings of some fields' ids, [B, S, d].
        weights: Their pooling weights, [B, S].
        slots: The number of ids of each of these fields.

    Returns:
        [B, F, d].
    """
    weights = ops.cast(weights, h.dtype)
    weights = ops.expand_dims(weights, -1)  # [B, S, 1]
    weighted = h * weights
    fields = []
    start = 0
    for count in slots:
        end = start + count
        of_field = weighted[:, start:end]  # [B, count, d]
        pooled = ops.sum(of_field, axis=1, keepdims=True)  # [B, 1, d]
        fields.append(pooled)
        start = end
    return ops.concatenate(fields, axis=1)


def by_name(inputs: Inputs) -> Mapping[str, Any]:
    """Returns the inputs as a mapping: ids alone are its "ids"."""
    if isinstance(inputs, Mapping):
        return inputs
    return {"ids": inputs}


def slots_of(field_rows: Sequence[int], slots: Sequence[int] | None) -> list[int]:
    """Returns the number of ids of each field, one by default; ValueError if it does not fit."""
    if slots is None:
        return [1] * len(field_rows)
    if len(slots) != len(field_rows) or min(slots) < 1:
        raise ValueError(f"`slots` must give one positive integer a field. Received: slots={slots}")
    return [int(count) for count in slots]


def owners_of(field_rows: Sequence[int], shares: Sequence[int] | None) -> list[int]:
    """Returns for each field the place of the one whose rows it uses, by default its own.

    Args:
        field_rows: The number of rows that each field reads.
        shares: What is asked for.

    Raises:
        ValueError: If it does not name one field each, if such a field uses another one's rows
            itself, or if the two have different numbers of rows.
    """
    if shares is None:
        return list(range(len(field_rows)))
    owners = [int(place) for place in shares]
    ok = len(owners) == len(field_rows)
    ok = ok and all(0 <= place < len(owners) for place in owners)
    ok = ok and all(owners[place] == place for place in owners)
    if not ok:
        rule = "must give for each field the place of one that owns its rows"
        raise ValueError(f"`shares` {rule}. Received: shares={shares}")
    for field, place in enumerate(owners):
        if field_rows[field] != field_rows[place]:
            rule = f"must have as many rows as field {place + 1}, whose rows it uses"
            received = f"{field_rows[field]} and {field_rows[place]}"
            raise ValueError(f"field {field + 1} {rule}. Received: {received}")
    return owners
