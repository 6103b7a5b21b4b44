"""The times of rows: of all of them, of the newest one, and as a flag gives one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import BadRows, Problem
from tafe_tf.data.blocks.maturity import Now, kind_of
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
    """Reads the times of all rows.

    Args:
        files: The files.
        schema: Names the column with the time.
        bad_rows: What to do with bad rows.

    Returns:
        [n]: datetime64[ns] in UTC if the files hold dates or times, and otherwise numbers as they
        hold them.

    Raises:
        DataError: If a file cannot be read, or some files hold dates or times and some numbers.
    """
    found: list[np.ndarray] = []
    kinds: dict[str, int] = {}
    for block in read_blocks(files, schema, bad_rows=bad_rows, columns=[schema.time]):
        if block.time is None or not len(block.time):
            continue
        kinds.setdefault(kind_of(block.time), int(block.file[0]))
        found.append(block.time)
    if len(kinds) > 1:
        which = " and ".join(f"{kind} in {files[file]}" for kind, file in kinds.items())
        raise DataError(f"column {schema.time!r}: must be of one kind in all files, but is {which}")
    return np.concatenate(found) if found else np.zeros(0)


def newest(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    bad_rows: BadRows,
) -> Now:
    """The time of the newest row, NumPy's datetime64 for a date or time; see `times_of`.

    Raises:
        DataError: As `times_of`, or if there are no rows.
    """
    found = times_of(files, schema, bad_rows)
    if not len(found):
        names = ", ".join(str(file) for file in files)
        raise DataError(f"{names}: no row has a time in column {schema.time!r}")
    return in_memory(found.max())


def newest_of_splits(
    splits: Mapping[str, Sequence[str | ArrowRows]],
    schema: Schema,
    bad_rows: BadRows,
) -> Now:
    """The time of the newest row of all splits.

    Args:
        splits: The files of each split by its name; a split without files is passed over.
        schema: Names the column with the time.
        bad_rows: What to do with bad rows.

    Raises:
        DataError: As `newest`, or if one split holds dates or times and another one numbers.
    """
    found = {name: newest(files, schema, bad_rows) for name, files in splits.items() if files}
    kinds = {kind_of(now): name for name, now in found.items()}
    if len(kinds) > 1:
        which = " and ".join(f"{kind} in the {split} rows" for kind, split in kinds.items())
        raise DataError(f"column {schema.time!r}: must be of one kind in all rows, but is {which}")
    return max(found.values())


def judged_at(
    asked: str,
    schema: Schema,
    splits: Mapping[str, Sequence[str | ArrowRows]],
    bad_rows: BadRows,
) -> Now | None:
    """As of when labels are judged that mature; None where none does.

    Args:
        asked: A time as a flag gives it, or "" for that of the newest row of all splits.
        schema: Says which labels mature, and names the column of times.
        splits: The files of each split by its name.
        bad_rows: What to do with bad rows.

    Raises:
        DataError: If a time is asked for and no label matures; as `from_text` and
            `newest_of_splits`.
    """
    if not schema.matures:
        if asked:
            rule = "needs a schema with a task that has `matures_after`"
            raise DataError(f"--now {rule}. Received: {asked!r}")
        return None
    if asked:
        return from_text(asked, schema)
    return newest_of_splits(splits, schema, bad_rows)


def from_text(text: str, schema: Schema) -> Now:
    """A time as a flag gives it, like one of the column `Schema.time`.

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
    return in_memory(read[0])


def to_json(now: Now | None) -> int | float | str | None:
    """A time as JSON holds it: a date or time as a text in ISO 8601, to the nanosecond."""
    return str(now) if isinstance(now, np.datetime64) else now


def from_json(noted: int | float | str | None) -> Now | None:
    """What `to_json` was given.

    Example:
        >>> from_json(to_json(np.datetime64("2026-11-27T10:00", "ns")))
        np.datetime64('2026-11-27T10:00:00.000000000')
    """
    return np.datetime64(noted, "ns") if isinstance(noted, str) else noted


def in_memory(value: np.generic) -> Now:
    """A time of NumPy, as a Python number if it is one."""
    if isinstance(value, np.datetime64):
        return value
    number: int | float = value.item()
    return number


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Times as numbers, dates and times as nanoseconds since 1970, [n]."""
    return values.astype(np.int64) if values.dtype.kind == "M" else values
