"""The errors for files that cannot be used and for bad rows in them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from tafe_tf.shown import listed, shown

_SYSTEM_REASONS = frozenset(os.strerror(number) for number in errno.errorcode)


class DataError(ValueError):
    """A file cannot be used; the message starts with its name."""


class MissingColumnError(DataError):
    """A file lacks a column that is to be read; the message names both."""


class BadRowError(DataError):
    """A row breaks a rule; the message names file, row, column and value."""


def check_columns(
    path: str,
    names: Sequence[str],
    present: Sequence[str],
    where: str = "",
) -> None:
    """Checks that each column to read stands in a file once.

    Args:
        path: The file, for the message.
        names: The columns to read.
        present: The columns that the file has.
        where: In what part of the file they stand, as " in the header". Default: "".

    Raises:
        MissingColumnError: If one is missing.
        DataError: If one stands there more than once.
    """
    for name in names:
        count = present.count(name)
        if count != 1:
            what = f"stands {count} times{where}" if count else "is missing"
            kind = DataError if count else MissingColumnError
            raise kind(f"{path}: column {shown(name)} {what}; the columns are {listed(present)}")


def is_utf8(text: str) -> bool:
    """Whether UTF-8 holds a text: it has no half of a surrogate pair.

    Python keeps the bytes of a file's name that is not UTF-8 as such halves.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def of_a_file(error: Exception) -> str:
    """Why the operating system did not read or write a file, as TensorFlow tells it.

    TensorFlow's errors are no OSErrors, but their messages end as those of the system do.

    Returns:
        The reason, such as "No space left on device"; empty for any other error.

    Example:
        >>> of_a_file(RuntimeError("{{node SaveV2}} /run/ckpt-1.index; Disk quota exceeded"))
        'Disk quota exceeded'
        >>> of_a_file(RuntimeError("OOM when allocating tensor with shape[9,9]"))
        ''
    """
    message = str(error).partition(" [Op:")[0]
    reason = message.rpartition("; ")[2].strip()
    return reason if reason in _SYSTEM_REASONS else ""
