"""What rows of the embedding table cost in memory, and whether there is so much."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tafe_tf.schema import MOST_ROWS, Schema, SchemaError

_MOMENTS = 2  # LazyAdam keeps two float32 numbers for each number of the table
_MOMENT_BYTES = 4
_BYTES = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
}
_MEND = 'raise its min_count, give kind "hash" fewer buckets, or take a smaller --embedding_dim'


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
        return self.dim * _BYTES[self.dtype]

    @property
    def training_bytes(self) -> int:
        """Bytes in training, with the moments that LazyAdam keeps in float32."""
        return self.stored_bytes + self.dim * _MOMENTS * _MOMENT_BYTES

    def bytes_in_training(self, is_trained: bool) -> int:
        """Bytes in training of a row that is trained, or of one that is not and has no moments."""
        return self.training_bytes if is_trained else self.stored_bytes


def check_table(
    schema: Schema,
    rows: Sequence[int],
    row: RowSize,
    memory: int | None,
) -> None:
    """Finds that ids can number the rows of the embedding table, and that training has the memory.

    Args:
        schema: Names the fields, and says which have rows of their own.
        rows: The rows of each field with ids, as far as they are known.
        row: The size of a row.
        memory: The bytes that training may use; None if that is not known.

    Raises:
        SchemaError: If there are too many rows; it names the field that has the most.

    Example:
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> item = Feature(name="item", kind="hash", buckets=10**9)
        >>> schema = Schema(name="shop", features=(item,), tasks=(Task(name="click"),))
        >>> check_table(schema, [10**9], RowSize(dim=16, dtype="float32"), memory=2**30)
        Traceback (most recent call last):
        tafe_tf.schema.rules.SchemaError: feature 'item': has 1,000,000,000 ...
    """
    of_owners = rows_of_owners(schema, rows)
    total = sum(of_owners)
    most = max(of_owners)
    name = schema.id_features[of_owners.index(most)].name
    what = f"feature {name!r}: has {most:,} of the {total:,} rows of the embedding table"
    if total > MOST_ROWS:
        raise SchemaError(f"{what}, and ids number {MOST_ROWS:,}; {_MEND}")
    needed = 0
    for feature, count in zip(schema.id_features, of_owners, strict=True):
        needed += count * row.bytes_in_training(feature.trainable)
    if memory is not None and needed > memory:
        takes = f"takes {needed / 2**30:,.1f} GiB in training, with two moments of each number"
        has = f"this machine has {memory / 2**30:,.1f} GiB"
        raise SchemaError(f"{what}, which {takes}, and {has}; {_MEND}")


def rows_of_owners(schema: Schema, rows: Sequence[int]) -> list[int]:
    """The rows of each field that are its own: 0 for one that uses another field's.

    Args:
        schema: Says which share.
        rows: The rows of each field with ids.
    """
    own = []
    for feature, count in zip(schema.id_features, rows, strict=True):
        own.append(0 if feature.shares else count)
    return own


def check_known_table(
    schema: Schema,
    row: RowSize,
    memory: int | None,
) -> None:
    """Checks what the schema alone tells, before anything is read; see `check_table`.

    Vocabularies are not known yet and count as empty.
    """
    check_table(schema, [feature.rows() for feature in schema.id_features], row, memory)
