"""All fields of a row: pooled ids, and what encoders make of numbers, vectors and sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import encoders as kinds
from tafe_tf.layers.configured import Configured
from tafe_tf.layers.embedding import FusedEmbedding, TableDtype, by_name, pool, slots_of
from tafe_tf.layers.partitioned_embedding import PartitionedEmbedding
from tafe_tf.layers.parts import Looked, Parts
from tafe_tf.types import Inputs, Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class FieldEmbedding(Configured):
    """H [B, F, d], of which some rows are pooled ids and the others come from encoders.

    The ids of all fields, those of sequences among them, are looked up in one table at once. First
    in H stand the fields of ids that no sequence takes, then a row for each encoder.

    Args:
        field_rows: Number of rows of the table of each field of ids.
        dim: Embedding dimension, d.
        encoders: A mapping for each further row of H, see `tafe_tf.layers.encoders`.
        slots: Number of ids per field; one each by default.
        stddev: Standard deviation of the normal distribution that the table starts from; 0.05 by
            default.
        table_dtype: What the table is kept in, see `FusedEmbedding`; by default what all weights
            are kept in.
        parts: Number of tables; 1 by default. See `PartitionedEmbedding`.
        shares: For each field of ids the place of the one whose rows it uses; by default its own.
        frozen: The places of the fields with rows of their own that are not trained; none by
            default. See `PartitionedEmbedding`.

    Attributes:
        embedding: The layer that holds the table.
        encoders: The layers of the encoders; one may make the rows of several numbers.
        rows: Number of rows of H, F.

    Call arguments:
        inputs: "ids" and "weights" [B, S]; and, where encoders read them, "numbers" float32
            [B, M], and "vectors" float32 [B, V], NaN where they are missing. In a request to rank
            items, "once_ids" and "once_weights", [1, s], may hold the slots of all sequences of the
            user; "ids" and "weights" are then without them, [B, S - s].

    Returns:
        H, [B, F, d].

    Raises:
        ValueError: As of `FusedEmbedding`, or if an encoder's settings break a rule.

    Example: an item, and a history of two items that it reads.
        >>> import numpy as np
        >>> recent = {"kind": "sequence", "features": [1], "query": [0]}
        >>> embedding = FieldEmbedding([9, 9], dim=4, encoders=[recent], slots=[1, 2])
        >>> ids = np.array([[3, 3, 8]])
        >>> tuple(embedding({"ids": ids, "weights": np.ones((1, 3))}).shape)
        (1, 2, 4)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        dim: int,
        encoders: Sequence[Mapping[str, Any]],
        slots: Sequence[int] | None = None,
        stddev: float = 0.05,
        table_dtype: TableDtype | None = None,
        parts: int = 1,
        shares: Sequence[int] | None = None,
        frozen: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # raw numbers stay as exact as they came
        self.dim = dim
        self.slots = slots_of(field_rows, slots)
        self._runs = _runs(self.slots, kinds.taken(encoders))
        self._starts = _starts(self.slots, self._runs, kinds.taken(encoders))
        pooled = sum(len(run.slots) for run in self._runs)
        self.rows = pooled + len(encoders)
        table: dict[str, Any] = {
            "field_rows": field_rows,
            "dim": dim,
            "slots": slots,
            "stddev": stddev,
            "table_dtype": table_dtype,
            "shares": shares,
            "dtype": self.dtype_policy,
        }
        if parts > 1 or frozen:
            self.embedding = PartitionedEmbedding(parts=parts, frozen=frozen, **table)
        else:
            self.embedding = FusedEmbedding(**table)
        self.encoders = kinds.make(encoders, dim, self.slots, self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes the table, then the weights of each encoder."""
        self.embedding.build()
        for encoder in self.encoders:
            encoder.build()
        self.built = True

    def tables(self) -> list[FusedEmbedding]:
        """Returns the layers that hold a table."""
        return self.embedding.tables()

    def rows_of(self, field: int) -> tuple[FusedEmbedding, int]:
        """Returns the layer whose table holds a field's rows, and the first of them there."""
        return self.embedding.rows_of(field)

    def fields_of_tables(self) -> list[list[int]]:
        """Returns, for each of `tables()`, the places of the fields of ids that read it."""
        return self.embedding.fields_of_tables()

    def rows_read(self, inputs: Inputs) -> list[Tensor]:
        """Returns, for each of `tables()`, the rows that a call with these inputs reads, [B, S]."""
        return self.embedding.rows_read(inputs)

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Makes H: [B, S], and what else encoders read -> [B, F, d]."""
        parts = Parts(
            looked=self._look_up(inputs),
            numbers=inputs.get("numbers"),
            vectors=inputs.get("vectors"),
        )
        h = []
        for run in self._runs:
            of_run, weights = parts.slots(run.first, run.end)
            is_plain = max(run.slots) == 1
            h.append(of_run if is_plain else pool(of_run, weights, run.slots))
        for encoder in self.encoders:
            rows = encoder(encoder.reads(parts))  # [B, d] or, of several numbers, [B, k, d]
            h.append(rows if len(rows.shape) == 3 else ops.expand_dims(rows, 1))
        return ops.concatenate(h, axis=1)

    def _look_up(self, inputs: Mapping[str, Tensor]) -> tuple[Looked, ...]:
        """Looks up all slots; those that came once for all rows by themselves."""
        count = sum(self.slots)
        weights = inputs.get("weights")
        if "once_ids" not in inputs:
            return self._parted(list(range(count)), self.embedding.look_up(inputs), weights)
        once = self.once_places()
        others = [slot for slot in range(count) if slot not in set(once)]
        of_rows = self.embedding.look_up_places(inputs["ids"], others)
        of_all = self.embedding.look_up_places(inputs["once_ids"], once)
        found = self._parted(others, of_rows, weights)
        return (*found, *self._parted(once, of_all, inputs["once_weights"]))

    def _parted(self, slots: list[int], h: Tensor, weights: Tensor) -> tuple[Looked, ...]:
        """Cuts what was looked up where a run of fields or a list begins.

        The gradient of one split is one concatenation; that of slices would be a sum of as many
        tensors of the size of `h`.
        """
        starts = [place for place, slot in enumerate(slots) if slot in self._starts]
        cuts = [place for place in starts if place > 0]
        of_parts = ops.split(h, cuts, axis=1) if cuts else [h]
        found = []
        for start, part in zip([0, *cuts], of_parts, strict=True):
            end = start + part.shape[1]
            own = None if weights is None else weights[:, start:end]
            found.append(Looked(slots[start], slots[start] + end - start, part, own))
        return tuple(found)

    def once_places(self) -> list[int]:
        """The slots of all sequences of the user, in order."""
        return kinds.once_places(self.arguments["encoders"], self.slots)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Returns [B, F, d]."""
        batch = by_name(input_shape)["ids"][0]
        return (batch, self.rows, self.dim)


@dataclasses.dataclass(frozen=True)
class _Run:
    """Consecutive fields that become rows of H together.

    Attributes:
        first: The first of their slots.
        slots: The number of slots of each field: 1 each, or those of one field of lists.
    """

    first: int
    slots: list[int]

    @property
    def end(self) -> int:
        """The slot after their last one."""
        return self.first + sum(self.slots)


def _runs(slots: Sequence[int], taken: set[int]) -> list[_Run]:
    """The fields of ids that no sequence takes, in as few runs as possible."""
    runs: list[_Run] = []
    start = 0
    for field, count in enumerate(slots):
        if field in taken:
            start += count
            continue
        last = runs[-1] if runs else None
        goes_on = last is not None and last.end == start and {*last.slots, count} == {1}
        if last is not None and goes_on:
            last.slots.append(count)
        else:
            runs.append(_Run(start, [count]))
        start += count
    return runs


def _starts(slots: Sequence[int], runs: Sequence[_Run], taken: set[int]) -> set[int]:
    """The slots at which a run begins, or a list that a sequence takes."""
    starts = {run.first for run in runs}
    start = 0
    for field, count in enumerate(slots):
        if field in taken:
            starts.add(start)
        start += count
    return starts
