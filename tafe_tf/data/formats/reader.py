"""The interface of all readers: what each takes and what it gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.iterators import Span
from tafe_tf.data.spelling.plain import holds_texts, is_list


class Chunk(NamedTuple):
    """Consecutive rows of one file, as its format has them.

    Attributes:
        columns: Arrow arrays of equal length, by name; None for rows that were only passed over.
        rows: The numbers of the rows in the file, from 1, int64 [n].
        problems: What the reader found wrong with some of the rows.
    """

    columns: dict[str, pa.Array] | None
    rows: np.ndarray
    problems: list[Problem]


class Reader(Protocol):
    """A function that reads one file, or one table in memory, chunk by chunk.

    The borders of the chunks do not depend on `skip`: the first chunk that is read ends where it
    would end if all rows were read.
    """

    def __call__(
        self,
        source: Any,
        names: Sequence[str],
        lists: Collection[str],
        block_rows: int,
        skip: int,
        /,
    ) -> Iterator[Chunk]:
        """Reads some columns of all rows.

        Args:
            source: The path of the file, or the table.
            names: The columns to read.
            lists: Those among them that hold lists.
            block_rows: The rows of a chunk; the last chunk of a file holds what is left.
            skip: Rows to pass over first.

        Raises:
            DataError: If the source cannot be read, or a column is missing or not of its kind.
        """
        ...


def table_of(spans: Iterable[Span[pa.RecordBatch]]) -> pa.Table:
    """One table of the rows of all spans, which are not copied."""
    pieces = []
    for batch, start, stop in spans:
        pieces.append(batch.slice(start, stop - start))
    return pa.Table.from_batches(pieces)


def check_types(
    source: object,
    schema: pa.Schema,
    names: Sequence[str],
    lists: Collection[str],
) -> None:
    """Raises DataError if a column is missing or doubled, or holds lists or not, against its role.

    Args:
        source: The file, for messages.
        schema: The Arrow types of its columns.
        names: The columns to read.
        lists: Those among them that must hold lists, or texts to split into lists; the others must
            hold one value a row.
    """
    check_columns(str(source), names, schema.names)
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_null(kind):
            continue
        is_right = is_list(kind) == (name in lists)
        if not is_right and not (name in lists and holds_texts(kind)):
            rule = "must hold lists" if name in lists else "must hold one value a row"
            raise DataError(f"{source}: column {name!r} {rule}. Received: {kind}")
