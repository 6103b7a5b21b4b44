"""The errors for files that cannot be used and for bad rows in them."""

from __future__ import annotations

from collections.abc import Sequence

from tafe_tf.shown import listed, shown


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
