"""CSV files, plain or compressed, through pyarrow."""

from __future__ import annotations

import contextlib
import csv
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from tafe_tf.data.bad_rows import WHOLE_ROW, Problem
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.bounded import bounded, weigh_batch
from tafe_tf.data.formats.csv_header import open_text, read_header, read_rows
from tafe_tf.data.formats.csv_lines import READ_BYTES, CsvLines
from tafe_tf.data.formats.reader import Chunk, Wanted, check_not_in_file, table_of
from tafe_tf.shown import shown


class _WrongWidth(NamedTuple):
    """A row with more or fewer cells than the header."""

    row: int
    rule: str
    cells: int
    lines: int


def read(
    path: str,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's columns as texts, see `reader.Reader`; a list is one text as well.

    Rows of a wrong width are reported, but do not count among the rows of a chunk, nor among those
    to skip.

    Raises:
        DataError: If the file is truncated or not UTF-8, shows no single delimiter, has numbers
            with decimal commas or a cell of more than ten lines, or a column is missing or doubled.
    """
    found = read_header(path, wanted)
    if found is None:
        return
    header, delimiter = found
    check_not_in_file(path, wanted.of_folders, header)
    check_columns(path, wanted.names, header, " in the header")
    invalid: list[_WrongWidth] = []

    def note(row: pacsv.InvalidRow) -> str:
        rule = f"must have {row.expected_columns} cells"
        lines = row.text.count("\n") + 1
        invalid.append(_WrongWidth(row.number - 1, rule, row.actual_columns, lines))
        return "skip"

    lines = CsvLines(path, delimiter, wanted.quote)

    parsed = 0
    reported = 0
    try:
        batches = _checked(_open(lines, wanted, delimiter, note), lines, invalid)
        weigh = functools.partial(weigh_batch, padding=wanted.padding)
        for spans, ends in bounded(batches, wanted.block_rows, weigh):
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
            for name in wanted.names:
                array = table.column(name).combine_chunks()
                columns[name] = array[passed:]
            if delimiter != ",":
                _check_decimals(path, columns, wanted, rows[passed:])
            known = _before(rows[-1], invalid[reported:])
            reported += len(known)
            yield _with_invalid(columns, rows[passed:], known, ends)
        rest = invalid[reported:]
        if rest and skip <= parsed:
            nothing = {name: pa.array([], pa.string()) for name in wanted.names}
            no_rows = np.zeros(0, np.int64)
            yield _with_invalid(nothing, no_rows, rest, ends=True)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        reason = str(error)
        if "straddling" in reason:
            lines.check_long_row(len(invalid))
        row = lines.rows + len(invalid)
        wrong = _row_not_utf8(path, delimiter, wanted.quote) if "UTF8" in reason else 0
        if wrong:
            row, reason = wrong - 1, "the next row is not UTF-8"
        raise DataError(f"{path}: cannot be read after row {row}: {reason}") from None


def _checked(
    batches: Iterable[pa.RecordBatch],
    lines: CsvLines,
    invalid: Sequence[_WrongWidth],
) -> Iterator[pa.RecordBatch]:
    """The same batches; raises DataError before one with a cell that has swallowed rows."""
    for batch in batches:
        lines.check(batch.num_rows, len(invalid))
        yield batch


def _before(row: int, invalid: list[_WrongWidth]) -> list[_WrongWidth]:
    """The rows of a wrong width that stand before a row."""
    return [item for item in invalid if item.row < row]


def _check_decimals(
    path: str,
    columns: Mapping[str, pa.Array],
    wanted: Wanted,
    rows: np.ndarray,
) -> None:
    """Raises DataError for a number with a comma, which has no one meaning: 1,234 is 1.234 or 1234.

    Where cells are parted by commas, such a number stands in quotes, and is a bad row's value.
    """
    for name in wanted.numbers:
        may_be = pc.match_substring(columns[name], ",")
        if not pc.any(may_be).as_py():
            continue
        has_comma = pc.match_substring_regex(columns[name], r"^\s*[-+]?\d+,\d+\s*$")
        place = pc.index(has_comma, True).as_py()
        if place >= 0:
            value = columns[name][place].as_py()
            what = f"row {rows[place]}, column {name!r}: is a number with a comma"
            mend = "write all numbers of the file with a decimal point"
            raise DataError(f"{path}: {what}; {mend}. Received: {shown(value)}")


def _row_not_utf8(
    path: str,
    delimiter: str,
    quote: str,
) -> int:
    """The number of the first row with bytes that are not UTF-8; 0 if it cannot be found."""
    number = -1  # the header is row 0
    # A cell may be longer than Python's reader takes.
    with contextlib.suppress(csv.Error), open_text(path, errors="surrogateescape") as file:
        for cells in read_rows(file, delimiter, quote):
            number += 1
            text = "".join(cells)
            if any("\udc80" <= character <= "\udcff" for character in text):
                return number
    return 0


def _with_invalid(
    columns: dict[str, pa.Array],
    rows: np.ndarray,
    invalid: list[_WrongWidth],
    ends: bool,
) -> Chunk:
    """Adds rows of a wrong width as empty rows with a problem, for them to be judged as others."""
    if not invalid:
        return Chunk(columns, rows, [], ends)
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
                item.cells,
                lines=item.lines,
            )
        )
    numbers = np.array([item.row for item in invalid], np.int64)
    return Chunk(longer, np.concatenate([rows, numbers]), problems, ends)


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


def _open(
    lines: CsvLines,
    wanted: Wanted,
    delimiter: str,
    note: object,
) -> pacsv.CSVStreamingReader:
    has_quotes = wanted.quote != ""
    return pacsv.open_csv(
        lines,
        # More threads would lose the numbers of invalid rows.
        read_options=pacsv.ReadOptions(use_threads=False, block_size=READ_BYTES),
        parse_options=pacsv.ParseOptions(
            delimiter=delimiter,
            quote_char=wanted.quote or False,
            double_quote=has_quotes,
            newlines_in_values=has_quotes,
            invalid_row_handler=note,
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(dict.fromkeys(wanted.names)),
            column_types={name: pa.string() for name in wanted.names},
        ),
    )
