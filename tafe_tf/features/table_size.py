"""What rows of the embedding table cost in memory."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

_MOMENTS = 2  # LazyAdam keeps two float32 numbers for each number of the table
_MOMENT_BYTES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowSize:
    """The size of one row of the embedding table.

    Attributes:
        dim: d, the number of elements of an embedding.
        dtype: What the table is kept in: "float32", "bfloat16" or "float16".

    Example:
        >>> from tafe_tf.features.table_size import RowSize
        >>> size = RowSize(dim=18, dtype="bfloat16")
        >>> size.stored_bytes, size.training_bytes
        (36, 180)
    """

    dim: int
    dtype: str

    @property
    def stored_bytes(self) -> int:
        """Bytes of the row itself."""
        return self.dim * int(tf.as_dtype(self.dtype).size)

    @property
    def training_bytes(self) -> int:
        """Bytes in training, with the moments that LazyAdam keeps in float32."""
        return self.stored_bytes + self.dim * _MOMENTS * _MOMENT_BYTES
