"""The errors for files that cannot be used and for bad rows in them."""

from __future__ import annotations

from collections.abc import Sequence


class DataError(ValueError):
    """A file cannot be used; the message starts with its name."""


class BadRowError(DataError):
    """A row breaks a rule; the message names file, row, column and value."""


def check_columns(
    path: str,
    names: Sequence[str],
    present: Sequence[str],
    where: str = "",
) -> None:
    """Raises DataError if a column to read is missing from a file, or stands there more than once.

    Args:
        path: The file, for the message.
        names: The columns to read.
        present: The columns that the file has.
        where: In what part of the file they stand, as " in the header". Default: "".
    """
    for name in names:
        count = present.count(name)
        if count != 1:
            what = f"stands {count} times{where}" if count else "is missing"
            raise DataError(f"{path}: column {name!r} {what}; the columns are {', '.join(present)}")
