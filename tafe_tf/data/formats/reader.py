"""The interface of all readers: what each takes and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.nested import root_of, type_at
from tafe_tf.data.iterators import Span
from tafe_tf.data.spelling.plain import holds_texts, is_list
from tafe_tf.shown import cut


class Chunk(NamedTuple):
    """Consecutive rows of one file, as its format has them.

    Attributes:
        columns: Arrow arrays of equal length, by name; None for rows that were only passed over.
        rows: The numbers of the rows in the file, from 1, int64 [n].
        problems: What the reader found wrong with some of the rows.
        ends: Whether a block of `Wanted.block_rows` rows ends with these; heavy rows come in parts.
            Default: True.
    """

    columns: dict[str, pa.Array] | None
    rows: np.ndarray
    problems: list[Problem]
    ends: bool = True


def _nowhere(name: str) -> bool:
    return False


def _silent(key: str, text: str) -> None:
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to read of a source, and how it is written.

    Attributes:
        names: The columns to read.
        lists: Those among them that hold lists. Default: none.
        numbers: Those among them that hold one number a row. Default: none.
        block_rows: The rows of a chunk; the last chunk of a file holds what is left. Heavy rows
            come in several chunks, see `bounded`.
        padding: The bytes that the padded lists of a row take once they are arrays. Default: 0.
        delimiter: The character between CSV cells; "" to find it out. Default: "".
        quote: The character around a CSV cell; "" if there is none. Default: '"'.
        of_folders: Columns that the file must not have, since folders on its path give them, see
            `partitions`. Default: none.
        elsewhere: Says whether another file of the split has a column that a TFRecord file lacks.
            Default: none has.
        note: Takes a word for the user about what was found out, under a key that many files may
            share. Default: nobody hears it.
    """

    names: Sequence[str]
    lists: Collection[str] = ()
    numbers: Collection[str] = ()
    block_rows: int
    padding: int = 0
    delimiter: str = ""
    quote: str = '"'
    of_folders: Collection[str] = ()
    elsewhere: Callable[[str], bool] = _nowhere
    note: Callable[[str, str], None] = _silent


class Reader(Protocol):
    """A function that reads one file, or one table in memory, chunk by chunk.

    The borders of the chunks do not depend on `skip`: the first chunk that is read ends where it
    would end if all rows were read. A source without rows gives no chunk, whatever its columns are.
    """

    def __call__(
        self,
        source: Any,
        wanted: Wanted,
        skip: int,
        /,
    ) -> Iterator[Chunk]:
        """Reads some columns of all rows.

        Args:
            source: The path of the file, or the table.
            wanted: What to read.
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


def check_not_in_file(
    path: str,
    keys: Collection[str],
    present: Collection[str],
) -> None:
    """Raises DataError if a key of a file's folders is a column of the file as well.

    Args:
        path: The file.
        keys: The keys that are to be read as columns.
        present: The columns that the file has.
    """
    for key in keys:
        if key in present:
            raise DataError(
                f"{path}: column {key!r} stands in the file and in a folder's name, {key}=VALUE; "
                "write the file without it, or rename the folder"
            )


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
        names: The columns to read; a dotted name may reach into a map or a struct.
        lists: Those among them that must hold lists, or texts to be split into lists; the others
            must hold one value a row.
    """
    roots = [root_of(schema.names, name) for name in names]
    check_columns(str(source), roots, schema.names)
    for name in names:
        kind = type_at(schema, name)
        if kind is None:
            root = root_of(schema.names, name)
            what = f"column {name!r} reaches into column {root!r} and finds nothing"
            raise DataError(f"{source}: {what}. Received: {cut(str(schema.field(root).type))}")
        if pa.types.is_null(kind):
            continue
        has_lists = is_list(kind)
        is_right = has_lists or holds_texts(kind) if name in lists else not has_lists
        if not is_right:
            rule = "must hold lists" if name in lists else "must hold one value a row"
            if pa.types.is_map(kind):
                rule += f"; name the part, {name}.key or {name}.value"
            raise DataError(f"{source}: column {name!r} {rule}. Received: {cut(str(kind))}")
