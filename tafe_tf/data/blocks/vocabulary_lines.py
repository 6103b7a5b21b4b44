"""Values that no line of a vocabulary file can hold: with a line break, or not UTF-8."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.spelling.plain import is_bytes, is_list, is_text, plain
from tafe_tf.schema import Schema

_RULE = 'must be UTF-8 text without a line break; kind = "hash" takes any value'
_LAST_BREAK = 13  # "\r"; of the bytes up to it, texts have few beside it and "\n"


def columns_of_lines(schema: Schema) -> set[str]:
    """The names of the columns whose values become lines of a vocabulary file."""
    found = set()
    for feature in schema.features:
        if feature.kind == "vocabulary" and feature.dtype == "string":
            found.add(feature.column)
    return found


def note_no_lines(
    array: pa.Array,
    name: str,
    problems: list[Problem],
) -> None:
    """Adds a problem for each row with a value that no line can hold.

    Args:
        array: The column's values, or lists of them, [n].
        name: The column's name.
        problems: Receives the problems.

    Example:
        >>> import pyarrow as pa
        >>> problems: list[Problem] = []
        >>> note_no_lines(pa.array(["golf", "a\\nb", None]), "hobby", problems)
        >>> [(problem.index, problem.value) for problem in problems]
        [(1, 'a\\nb')]
    """
    array = plain(array)
    owner: pa.Array | None = None
    if is_list(array.type):
        owner = pc.list_parent_indices(array)
        array = plain(array.flatten())
    if not is_text(array.type) and not is_bytes(array.type):
        return  # a number has no line break
    if not _may_break(array) and _is_utf8(array):
        return
    for place, value in enumerate(array.to_pylist()):
        if value is not None and not _is_line(value):
            row = place if owner is None else owner[place].as_py()
            problems.append(Problem(row, name, _RULE, value))


def _may_break(array: pa.Array) -> bool:
    """Whether any byte of the values may be a line break; looks at all of them at once."""
    _, offsets, data = array.buffers()
    if data is None:
        return False
    width = np.int64 if array.type in (pa.large_string(), pa.large_binary()) else np.int32
    ends = np.frombuffer(offsets, width)
    first, last = ends[array.offset], ends[array.offset + len(array)]
    content = np.frombuffer(data, np.uint8)[first:last]
    return bool((content <= _LAST_BREAK).any())


def _is_utf8(array: pa.Array) -> bool:
    if is_text(array.type):
        return True
    try:
        array.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_line(value: str | bytes) -> bool:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return False
    return "\n" not in value and "\r" not in value
