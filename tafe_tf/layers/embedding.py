"""One embedding table for all fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("tafe_tf")
class FusedEmbedding(keras.layers.Layer):
    """The input embeddings H = [h_1, ..., h_F] (section 3.1) from one table, in one gather.

    Field f owns `field_rows[f]` consecutive rows of the table, from its offset on. A field that holds lists
    takes `slots[f]` ids; h_f is then the sum of their embeddings times their pooling weights.

    Args:
        field_rows: number of rows of each field.
        dim: d, the embedding dimension.
        slots: ids per field, by default one each.
        stddev: standard deviation of the normal distribution that the table starts from.
        table_dtype: what the table is kept in, "float32", "bfloat16" or "float16"; by default as all weights are. Rows
            are cast to the compute dtype once they are read. Half precision is trained by `tafe_tf.optimizers.LazyAdam`
            alone: Keras's Adam computes in the weight's dtype, where beta_2 = 0.999 is 1 and nothing moves.

    Attributes:
        table: the weight, [sum of field_rows, d].
        reader: None, or a function from rows [B, S] of the table to their embeddings [B, S, d] that is asked in the
            table's place: an export may store it in fewer bits.

    Call arguments:
        inputs: integer ids [B, S], S the sum of `slots`, each from 0 to its field's rows - 1; or a mapping with
            these as "ids" and pooling weights [B, S] as "weights". Weights are required where a field has
            several slots; `tafe_tf.features.Features` makes both.

    Returns:
        H, [B, F, d].

    Raises:
        ValueError: if a field has no row, or `slots` does not fit `field_rows`, or `table_dtype` is none of these, or
            weights are needed and missing.
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        dim: int,
        slots: Sequence[int] | None = None,
        stddev: float = 0.05,
        table_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.field_rows = [int(rows) for rows in field_rows]
        self.slots = [1] * len(self.field_rows) if slots is None else [int(n) for n in slots]
        if not self.field_rows or min(self.field_rows) < 1:
            raise ValueError(
                f"`field_rows` must hold positive integers. Received: field_rows={field_rows}"
            )
        if len(self.slots) != len(self.field_rows) or min(self.slots) < 1:
            raise ValueError(
                f"`slots` must give one positive integer a field. Received: slots={slots}"
            )
        if table_dtype not in (None, "float32", "bfloat16", "float16"):
            raise ValueError(
                f"`table_dtype` must be float32, bfloat16 or float16. Received: {table_dtype=}"
            )
        self.dim = dim
        self.stddev, self.table_dtype = stddev, table_dtype
        self.reader: Callable[[Any], Any] | None = None
        self.offsets = [
            sum(self.field_rows[:f]) for f, n in enumerate(self.slots) for _ in range(n)
        ]  # [S]

    def build(self, input_shape: Any = None) -> None:
        """Makes the table, [sum of field_rows, d]."""
        self.table = self.add_weight(
            name="table",
            shape=(sum(self.field_rows), self.dim),
            initializer=self._start(),
            dtype=self.table_dtype,
            autocast=False,  # the rows of the batch are cast, not the table
        )
        self.built = True

    def _start(self) -> Callable[..., Any]:
        """Draws in full precision whatever the table's is: a seed gives the same numbers, rounded."""
        normal = keras.initializers.RandomNormal(stddev=self.stddev)

        def start(shape: Any, dtype: Any) -> Any:
            return ops.cast(normal(shape, keras.backend.result_type(dtype, "float32")), dtype)

        return start

    def call(self, inputs: Any) -> Any:
        """Looks up and pools: [B, S] -> [B, F, d]."""
        ids, weights = (
            (inputs["ids"], inputs.get("weights"))
            if isinstance(inputs, Mapping)
            else (inputs, None)
        )
        h = ops.cast(self._read(self.rows_of(ids)), self.compute_dtype)  # [B, S, d]
        if weights is None and len(self.offsets) == len(self.slots):
            return h
        if weights is None:
            raise ValueError(
                "fields with several slots need pooling weights. Received: inputs without 'weights'"
            )
        return self._pool(h * ops.expand_dims(ops.cast(weights, h.dtype), -1))

    def rows_of(self, ids: Any) -> Any:
        """The table's rows that ids [B, S] name, int32 [B, S]."""
        return ops.cast(ids, "int32") + ops.convert_to_tensor(self.offsets, dtype="int32")

    def _read(self, rows: Any) -> Any:
        """Rows of the table; a TensorFlow variable is read row by row, where `ops.take` would copy it whole first."""
        if self.reader is not None:
            return self.reader(rows)
        table = self.table.value
        table = (
            table._get() if hasattr(table, "_get") else table
        )  # of tf.distribute's copies this replica's
        return (
            table.sparse_read(rows)
            if hasattr(table, "sparse_read")
            else ops.take(table, rows, axis=0)
        )

    def _pool(self, h: Any) -> Any:
        fields, start = [], 0
        for n in self.slots:
            fields.append(ops.sum(h[:, start : start + n], axis=1, keepdims=True))  # [B, 1, d]
            start += n
        return ops.concatenate(fields, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int, int]:
        """[B, F, d]."""
        shape = input_shape["ids"] if isinstance(input_shape, Mapping) else input_shape
        return (shape[0], len(self.field_rows), self.dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "field_rows": self.field_rows,
            "dim": self.dim,
            "slots": self.slots,
            "stddev": self.stddev,
            "table_dtype": self.table_dtype,
        }
        return {**super().get_config(), **config}
