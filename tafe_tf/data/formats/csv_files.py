"""CSV files, plain or gz, through pyarrow."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tafe_tf.data.bad_rows import WHOLE_ROW, Problem
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.reader import Chunk, table_of
from tafe_tf.data.iterators import rechunk

_READ_BYTES = 1 << 22


class _WrongWidth(NamedTuple):
    """A row with more or fewer cells than the header."""

    row: int
    rule: str
    text: str


def read(
    path: str,
    names: Sequence[str],
    lists: Collection[str],
    block_rows: int,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's columns as texts, see `reader.Reader`; a list is one text as well.

    Rows of a wrong width are reported, but do not count among the rows of a chunk, nor among those
    to skip.

    Raises:
        DataError: If the file is empty, truncated or not UTF-8, or a column is missing or doubled.
    """
    _check_header(path, names)
    invalid: list[_WrongWidth] = []

    def note(row: pacsv.InvalidRow) -> str:
        rule = f"must have {row.expected_columns} cells"
        invalid.append(_WrongWidth(row.number - 1, rule, row.text))
        return "skip"

    parsed = 0
    reported = 0
    try:
        for spans in rechunk(_open(path, names, note), block_rows):
            table = table_of(spans)
            invalid_rows = [item.row for item in invalid]
            rows = _number(parsed, table.num_rows, invalid_rows)
            to_skip = max(0, skip - parsed)
            passed = min(to_skip, len(rows))
            parsed += len(rows)
            if passed:
                yield Chunk(None, rows[:passed], [])
                reported += len(_before(rows[passed - 1], invalid[reported:]))
            if passed == len(rows):
                continue
            columns = {}
            for name in names:
                array = table.column(name).combine_chunks()
                columns[name] = array[passed:]
            known = _before(rows[-1], invalid[reported:])
            reported += len(known)
            yield _with_invalid(columns, rows[passed:], known)
        rest = invalid[reported:]
        if rest and skip <= parsed:
            nothing = {name: pa.array([], pa.string()) for name in names}
            no_rows = np.zeros(0, np.int64)
            yield _with_invalid(nothing, no_rows, rest)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        row = _row_not_utf8(path) if "UTF8" in str(error) else 0
        if row:
            parsed, reason = row - 1, "the next row is not UTF-8"
        else:
            reason = str(error)
        raise DataError(f"{path}: cannot be read after row {parsed}: {reason}") from None


def _before(row: int, invalid: list[_WrongWidth]) -> list[_WrongWidth]:
    """The rows of a wrong width that stand before a row."""
    return [item for item in invalid if item.row < row]


def _row_not_utf8(path: str) -> int:
    """The number of the first row with bytes that are not UTF-8; 0 if there is none."""
    with _open_text(path, errors="surrogateescape") as file:
        number = -1  # the header is row 0
        for cells in csv.reader(file):
            number += bool(cells)  # an empty line is no row
            text = "".join(cells)
            if any("\udc80" <= character <= "\udcff" for character in text):
                return number
    return 0


def _with_invalid(
    columns: dict[str, pa.Array],
    rows: np.ndarray,
    invalid: list[_WrongWidth],
) -> Chunk:
    """Adds rows of a wrong width as empty rows with a problem, for them to be judged as others."""
    if not invalid:
        return Chunk(columns, rows, [])
    empty = pa.nulls(len(invalid), pa.string())
    longer = {}
    for name, array in columns.items():
        longer[name] = pa.concat_arrays([array, empty])
    problems = []
    for index, item in enumerate(invalid, start=len(rows)):
        problems.append(
            Problem(
                index,
                WHOLE_ROW,
                item.rule,
                item.text,
            )
        )
    numbers = np.array([item.row for item in invalid], np.int64)
    return Chunk(longer, np.concatenate([rows, numbers]), problems)


def _number(
    parsed: int,
    count: int,
    invalid: list[int],
) -> np.ndarray:
    """The numbers of `count` rows after `parsed` ones; rows of a wrong width have numbers too."""
    start = parsed + 1
    numbers: list[np.ndarray] = []
    for number in sorted(invalid):
        if number < start:
            start += 1
            continue
        run = min(number - start, count)
        numbers.append(np.arange(start, start + run))
        start = number + 1
        count -= run
        if count == 0:
            break
    numbers.append(np.arange(start, start + count))
    return np.concatenate(numbers)


def _check_header(path: str, names: Sequence[str]) -> None:
    try:
        with _open_text(path, errors="replace") as file:
            header = next(csv.reader(file), [])
    except (EOFError, OSError, csv.Error, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not header:
        raise DataError(f"{path}: is empty; a header line is needed")
    check_columns(path, names, header, " in the header")


def _open_text(path: str, errors: str) -> IO[str]:
    """Opens plain or gz text; a byte order mark is no part of it."""
    opener = gzip.open if path.endswith(".gz") else open
    return opener(
        path,
        "rt",
        encoding="utf-8-sig",
        errors=errors,
        newline="",
    )


def _open(
    path: str,
    names: Sequence[str],
    note: object,
) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        path,
        # More threads would lose the numbers of invalid rows.
        read_options=pacsv.ReadOptions(use_threads=False, block_size=_READ_BYTES),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(dict.fromkeys(names)),
            column_types={name: pa.string() for name in names},
        ),
    )
