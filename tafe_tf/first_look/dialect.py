"""How a CSV file is written, as a schema says or its first line shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.csv_header import DELIMITERS, open_text, read_header, read_rows
from tafe_tf.data.formats.read import BLOCK_ROWS
from tafe_tf.data.formats.reader import Wanted
from tafe_tf.schema import Schema


class Dialect(NamedTuple):
    """How CSV files are written.

    Attributes:
        delimiter: The character between the cells; "" to find it out. Default: "".
        quote: The character around a cell; "" if there is none. Default: '"'.
    """

    delimiter: str = ""
    quote: str = '"'


def dialect_of(schema: Schema | None) -> Dialect:
    """How a schema says that CSV files are written."""
    return Dialect(schema.delimiter, schema.quote) if schema else Dialect()


def header_of(path: str, dialect: Dialect) -> tuple[list[str], str] | None:
    """The names of a CSV file's columns, and its delimiter; None if it has no rows.

    Where the first line shows several delimiters, it is the one that gives most cells.

    Raises:
        DataError: If the file cannot be read, or shows no delimiter.
    """
    try:
        return read_header(path, wanted_of([], dialect))
    except DataError:
        if dialect.delimiter:
            raise
        found = _most_cells(path, dialect.quote)
        if not found:
            raise
    return read_header(path, wanted_of([], Dialect(found, dialect.quote)))


def _most_cells(path: str, quote: str) -> str:
    """The delimiter that gives most cells of the header; "" if none gives any, or two do."""
    counts: dict[str, int] = {}
    for delimiter in DELIMITERS:
        with open_text(path, errors="replace") as file:
            cells = next(read_rows(file, delimiter, quote), [])
        counts[delimiter] = len(cells)
    most = max(counts.values())
    found = [delimiter for delimiter, count in counts.items() if count == most]
    return found[0] if len(found) == 1 and most > 1 else ""


def wanted_of(
    names: Sequence[str],
    dialect: Dialect,
    rows: int = BLOCK_ROWS,
) -> Wanted:
    return Wanted(
        names=names,
        block_rows=min(rows, BLOCK_ROWS),
        delimiter=dialect.delimiter,
        quote=dialect.quote,
    )
