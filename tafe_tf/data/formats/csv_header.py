"""How a CSV file is written, as its first line shows: encoding, delimiter, names of the columns."""

from __future__ import annotations

import codecs
import csv
import io
import json
import pathlib
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import compression_of
from tafe_tf.data.formats.reader import Wanted
from tafe_tf.shown import shown
from tafe_tf.storage.reading import open_stream

DELIMITERS = (",", ";", "\t", "|")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_LINE = 1 << 20  # characters of a header line


def read_header(path: str, wanted: Wanted) -> tuple[list[str], str] | None:
    """Reads the names of a file's columns, and finds out the delimiter.

    Args:
        path: The file, plain or compressed.
        wanted: The columns to read; its `delimiter`, if there is one, is taken as it is.

    Returns:
        The names and the delimiter; None if the file has no rows, or not even a header.

    Raises:
        DataError: If the file cannot be read, is UTF-16, or shows no single delimiter.
    """
    try:
        _check_encoding(path)
        with open_text(path, errors="replace") as file:
            line = next(_lines(file), "")
        if not line:
            return None
        _check_line(path, line)
        with open_text(path, errors="replace") as file:
            delimiter = _delimiter(path, line, wanted)
            header = next(read_rows(file, delimiter, wanted.quote), [])
            has_rows = next(_lines(file), "") != ""
    except (OSError, EOFError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return (header, delimiter) if has_rows else None


def open_bytes(path: str) -> pa.NativeFile:
    """Opens a plain or compressed file; its uncompressed bytes are read."""
    return open_stream(path, compression_of(path))


def open_text(path: str, errors: str) -> IO[str]:
    """Opens a plain or compressed file as text; a byte order mark is no part of it."""
    return io.TextIOWrapper(
        open_bytes(path),
        encoding="utf-8-sig",
        errors=errors,
        newline="",
    )


def read_rows(
    file: IO[str],
    delimiter: str,
    quote: str,
) -> Iterator[list[str]]:
    """The cells of each row; an empty line is no row."""
    for cells in csv_reader(file, delimiter, quote):
        if cells:
            yield cells


def csv_reader(
    file: IO[str],
    delimiter: str,
    quote: str,
) -> Any:
    """Python's reader of a CSV file, which takes cells as pyarrow does."""
    quoting: dict[str, Any] = {"quotechar": quote}
    if not quote:
        quoting = {"quotechar": None, "quoting": csv.QUOTE_NONE}
    return csv.reader(file, delimiter=delimiter, **quoting)


def _lines(file: IO[str]) -> Iterator[str]:
    """The lines that are not empty; one that is too long comes in pieces."""
    while line := file.readline(_LONGEST_LINE):
        text = line.rstrip("\r\n")
        if text:
            yield text


def _check_encoding(path: str) -> None:
    with open_bytes(path) as file:
        start = file.read(2)
    if start in _UTF_16:
        raise DataError(f"{path}: is UTF-16 text; save it as UTF-8")


def _check_line(path: str, line: str) -> None:
    """Raises DataError for a first line that is no header of a text file."""
    if "\0" in line:
        raise DataError(f"{path}: is no UTF-8 text; save it as UTF-8. Received: {shown(line)}")
    if len(line) == _LONGEST_LINE:
        rule = f"the header line must have fewer than {_LONGEST_LINE:,} characters"
        raise DataError(f"{path}: {rule}. Received: {shown(line)}")


def _delimiter(
    path: str,
    line: str,
    wanted: Wanted,
) -> str:
    """The delimiter that the schema declares, or the ending, or the header shows."""
    if wanted.delimiter:
        return wanted.delimiter
    if ".tsv" in pathlib.Path(path).suffixes:
        return "\t"
    found = _shown(line, wanted)
    if len(found) != 1:
        which = " and ".join(map(repr, found or DELIMITERS))
        shows = "may be parted by" if found else "shows none of"
        mend = "set `delimiter` to the character between its names"
        raise DataError(f"{path}: the header {shows} {which}; {mend}. Received: {shown(line)}")
    (delimiter,) = found
    if delimiter != ",":
        mend = f"`delimiter = {json.dumps(delimiter)}` would say so"
        wanted.note(
            f"delimiter {delimiter}",
            f"{path}: cells are parted by {delimiter!r}, as the header shows; {mend}",
        )
    return delimiter


def _shown(line: str, wanted: Wanted) -> list[str]:
    """The delimiters that the header may have: those that give most of the wanted columns.

    Where no column is named, all are wanted.
    """
    by_count: dict[int, list[str]] = {}
    for delimiter in DELIMITERS:
        cells = next(read_rows(io.StringIO(line), delimiter, wanted.quote), [])
        count = len(set(cells) & set(wanted.names))
        if len(cells) > 1 or count:
            by_count.setdefault(count, []).append(delimiter)
    if not by_count:
        return [] if wanted.names else [","]  # one column, for all that is known
    found = by_count[max(by_count)]
    is_one_column = found == list(DELIMITERS)
    return found[:1] if is_one_column else found
