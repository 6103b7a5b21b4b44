"""The times of rows: of all of them, of the newest one, and as a flag gives one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import BadRows, Problem
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.spelling.time_column import times
from tafe_tf.schema import Schema


def times_of(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    bad_rows: BadRows,
) -> np.ndarray:
    """Reads the times of all rows, as numbers.

    Args:
        files: The files.
        schema: Names the column with the time.
        bad_rows: What to do with bad rows.

    Returns:
        [n]: nanoseconds since 1970-01-01 UTC if the files hold dates or times, and otherwise
        numbers as they hold them.

    Raises:
        DataError: If a file cannot be read, or some files hold dates or times and some numbers.
    """
    found = []
    kinds: dict[str, int] = {}
    for block in read_blocks(files, schema, bad_rows=bad_rows, columns=[schema.time]):
        if block.time is None or not len(block.time):
            continue
        is_moment = block.time.dtype.kind == "M"
        kinds.setdefault("dates or times" if is_moment else "numbers", int(block.file[0]))
        found.append(as_numbers(block.time))
    if len(kinds) > 1:
        which = " and ".join(f"{kind} in {files[file]}" for kind, file in kinds.items())
        raise DataError(f"column {schema.time!r}: must be of one kind in all files, but is {which}")
    return np.concatenate(found)


def newest(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    bad_rows: BadRows,
) -> int | float:
    """The time of the newest row; see `times_of`."""
    latest: int | float = times_of(files, schema, bad_rows).max().item()
    return latest


def from_text(text: str, schema: Schema) -> int | float:
    """A time as a flag gives it, as `times_of` gives those of rows.

    Args:
        text: A time in ISO 8601, or a number.
        schema: Names the column of such times.

    Raises:
        DataError: If it is neither.
    """
    problems: list[Problem] = []
    read = times(pa.array([text]), schema.time, (), problems, "--now")
    if problems:
        raise DataError(f"--now {problems[0].rule}. Received: {text!r}")
    number: int | float = as_numbers(read)[0].item()
    return number


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Times as numbers, dates and times as nanoseconds since 1970, [n]."""
    return values.astype(np.int64) if values.dtype.kind == "M" else values
