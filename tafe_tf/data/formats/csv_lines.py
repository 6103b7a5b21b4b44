"""Cells of a CSV file that go on for too many lines: a quote without its end swallows rows."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.csv_header import csv_reader, open_bytes, open_text

MOST_LINES = 10  # of a cell
READ_BYTES = 1 << 22  # of a file at a time, and the most that a row may take
_NO_END = 'is a quote without its end before it? (quote = "" if quotes mean nothing in this file)'
_BREAK = re.compile(r"\r\n|\r|\n")


class _LongCell(NamedTuple):
    """A cell of too many lines.

    Attributes:
        row: The number of its row, from 1.
        line: The number of the line in which it begins, from 1.
        what: What is too long.
    """

    row: int
    line: int
    what: str


class CsvLines:
    """A file as pyarrow reads it, which notices rows that are swallowed by a cell.

    A piece of a file has as many rows as lines, but for cells of several lines and empty lines. So
    cells are looked at only where a piece has fewer rows, and where no quote is, lines are not even
    counted.

    Args:
        path: The file, plain or compressed.
        delimiter: The character between cells.
        quote: The character around a cell; "" if there is none.

    Attributes:
        rows: How many rows pyarrow has given.
        closed: Whether it is read to its end, for pyarrow.
    """

    def __init__(
        self,
        path: str,
        delimiter: str,
        quote: str,
    ) -> None:
        self.rows = 0
        self.closed = False
        self._path = path
        self._quote = quote.encode()
        self._stream = open_bytes(path)
        self._break = 0  # the byte that ends a line; 0 before anything is read
        self._lines: list[int] = []  # of each piece, 0 for one without quotes
        self._more = [0, 0]  # lines of the last two pieces that end no row
        self._long_cells = _long_cells(path, delimiter, quote)

    def read(self, size: int) -> bytes:
        """Reads the next piece, for pyarrow."""
        piece: bytes = self._stream.read(size)
        if piece.endswith(b"\r"):
            piece += self._stream.read(1)  # pyarrow loses a line feed with which a piece begins
        if not self._break:
            self._break = ord("\n" if b"\n" in piece else "\r")
        has_quotes = self._quote != b"" and self._quote in piece
        lines = 0
        if has_quotes:
            lines = int(np.count_nonzero(np.frombuffer(piece, np.uint8) == self._break))
        self._lines.append(lines)
        return piece

    def readable(self) -> bool:
        """That it can be read, for pyarrow."""
        return True

    def close(self) -> None:
        """Closes the file, for pyarrow."""
        self.closed = True
        self._stream.close()

    def check(
        self,
        rows: int,
        wrong: int,
    ) -> None:
        """Finds that no cell of the next piece has more than ten lines.

        Args:
            rows: How many rows pyarrow found in it.
            wrong: How many rows of a wrong width it has found so far, which are not among these.

        Raises:
            DataError: If one has; it names the cell's row and line.
        """
        self.rows += rows
        lines = self._lines.pop(0)
        self._more = [self._more[1], max(0, lines - rows)]
        if sum(self._more) >= MOST_LINES:
            self._check_cells(self.rows + wrong)

    def check_long_row(self, wrong: int) -> None:
        """Raises DataError for the row after those that were given, which is too long.

        Args:
            wrong: How many rows of a wrong width there were.
        """
        row = self.rows + wrong + 1
        self._check_cells(row)
        raise DataError(f"{self._path}: row {row} is longer than {READ_BYTES:,} bytes; {_NO_END}")

    def _check_cells(self, last: int) -> None:
        """Raises DataError if a cell of the rows up to a last one has too many lines."""
        with _fields_of(2 * READ_BYTES):
            for row, cell in self._long_cells:
                if cell is not None:
                    what = f"row {cell.row}: a cell that begins in line {cell.line} {cell.what}"
                    raise DataError(f"{self._path}: {what}; {_NO_END}")
                if row >= last:
                    return


def _long_cells(
    path: str,
    delimiter: str,
    quote: str,
) -> Iterator[tuple[int, _LongCell | None]]:
    """The number of each row, and its first cell that has too many lines, if there is one."""
    row = -1  # the header is row 0
    last = 0
    with open_text(path, errors="replace") as file:
        reader = csv_reader(file, delimiter, quote)
        try:
            for cells in reader:
                first, last = last + 1, reader.line_num
                if cells:
                    row += 1
                    is_long = last - first >= MOST_LINES
                    yield row, _long_cell(row, first, cells) if is_long else None
        except csv.Error:
            what = f"is longer than {READ_BYTES:,} bytes"
            yield row + 1, _LongCell(row + 1, last + 1, what)


def _long_cell(
    row: int,
    line: int,
    cells: list[str],
) -> _LongCell | None:
    """The first cell of a row that has too many lines, where the row begins in a line."""
    for cell in cells:
        breaks = len(_BREAK.findall(cell))
        if breaks >= MOST_LINES:
            what = f"goes on for {breaks + 1:,} lines, of which a cell may have {MOST_LINES}"
            return _LongCell(row, line, what)
        line += breaks
    return None


@contextlib.contextmanager
def _fields_of(size: int) -> Iterator[None]:
    """Has Python's reader take cells of so many characters, which is a setting of the process."""
    before = csv.field_size_limit(size)
    try:
        yield
    finally:
        csv.field_size_limit(before)
