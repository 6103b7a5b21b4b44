"""CSV files, plain or gz, through pyarrow."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tafe_tf.data.bad_rows import WHOLE_ROW, Problem
from tafe_tf.data.errors import DataError, check_columns

Invalid = tuple[int, str, str]  # row number, rule, text
Chunk = tuple[dict[str, pa.Array] | None, np.ndarray, list[Problem]]
_READ_BYTES = 1 << 22


def read(
    path: str, names: Sequence[str], lists: set[str], block_rows: int, skip: int
) -> Iterator[Chunk]:
    """Reads a file's columns as strings.

    Args:
        path: the file.
        names: the columns to read.
        lists: those among them that hold lists; in a CSV file still one string a cell.
        block_rows: rows a chunk.
        skip: rows to pass over.

    Yields:
        Columns by name (None for rows passed over), row numbers, and problems found.

    Raises:
        DataError: if the file is empty, truncated or not UTF-8, or a column is missing or doubled.
    """
    _check_header(path, names)
    invalid: list[Invalid] = []

    def note(row: pacsv.InvalidRow) -> str:
        invalid.append((row.number - 1, f"must have {row.expected_columns} cells", row.text))
        return "skip"

    parsed, reported = 0, 0
    try:
        for table in _rechunk(_open(path, names, note), block_rows):
            rows = _number(parsed, table.num_rows, [item[0] for item in invalid])
            first = min(max(0, skip - parsed), len(rows))
            parsed += len(rows)
            if first:
                yield None, rows[:first], []
                reported += sum(item[0] < rows[first - 1] for item in invalid[reported:])
            if first == len(rows):
                continue
            columns = {name: table.column(name).combine_chunks()[first:] for name in names}
            known = [item for item in invalid[reported:] if item[0] < rows[-1]]
            reported += len(known)
            yield _with_invalid(columns, rows[first:], known)
        rest = invalid[reported:]
        if rest and skip <= parsed:
            yield _with_invalid(
                {name: pa.array([], pa.string()) for name in names}, np.zeros(0, np.int64), rest
            )
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        row = _row_not_utf8(path) if "UTF8" in str(error) else 0
        if row:
            raise DataError(
                f"{path}: cannot be read after row {row - 1}: the next row is not UTF-8"
            ) from None
        raise DataError(f"{path}: cannot be read after row {parsed}: {error}") from None


def _row_not_utf8(path: str) -> int:
    """Number of the first row with bytes that are not UTF-8; 0 if there is none."""
    with _open_text(path, errors="surrogateescape") as file:
        number = -1  # the header is row 0
        for cells in csv.reader(file):
            number += bool(cells)  # an empty line is no row
            if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
                return number
    return 0


def _with_invalid(columns: dict[str, pa.Array], rows: np.ndarray, invalid: list[Invalid]) -> Chunk:
    """Adds rows of a wrong width as empty rows with a problem, so that they are judged like all bad rows."""
    if not invalid:
        return columns, rows, []
    empty = pa.nulls(len(invalid), pa.string())
    columns = {name: pa.concat_arrays([array, empty]) for name, array in columns.items()}
    problems = [
        Problem(len(rows) + i, WHOLE_ROW, rule, text) for i, (_, rule, text) in enumerate(invalid)
    ]
    return columns, np.concatenate([rows, [item[0] for item in invalid]]).astype(np.int64), problems


def _number(parsed: int, count: int, invalid: list[int]) -> np.ndarray:
    """Row numbers of `count` parsed rows after `parsed` ones, invalid rows counted but left out."""
    start = parsed + 1
    numbers: list[np.ndarray] = []
    for number in sorted(invalid):
        if number < start:
            start += 1
            continue
        run = min(number - start, count)
        numbers.append(np.arange(start, start + run, dtype=np.int64))
        start, count = number + 1, count - run
        if not count:
            break
    return np.concatenate([*numbers, np.arange(start, start + count, dtype=np.int64)])


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
    return opener(path, "rt", encoding="utf-8-sig", errors=errors, newline="")


def _open(path: str, names: Sequence[str], note: object) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(
            use_threads=False, block_size=_READ_BYTES
        ),  # threads lose row numbers
        parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(dict.fromkeys(names)),
            column_types={name: pa.string() for name in names},
        ),
    )


def _rechunk(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows, the last one shorter."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting, rows = [*waiting, batch], rows + batch.num_rows
        while rows >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size)
            waiting, rows = table.slice(size).to_batches(), rows - size
    if rows:
        yield pa.Table.from_batches(waiting)
