"""What a client of a bucket can do, whatever the store."""

from __future__ import annotations

from typing import NamedTuple, Protocol

SECONDS = 30  # that a request may take


class Claim(NamedTuple):
    """An object that claims something.

    Attributes:
        content: What it holds.
        tag: The store's mark of this content, by which it can be replaced.
    """

    content: bytes
    tag: str


class Client(Protocol):
    """Asks a store once for each call, and raises what pyarrow would: an OSError of one line.

    Args:
        scheme: Of the URIs.
        bucket: What follows the scheme in them.
    """

    def __init__(self, scheme: str, bucket: str) -> None: ...

    @staticmethod
    def check_installed() -> None:
        """Raises StoreError, with what to install, if the package is not there."""

    def put(
        self,
        key: str,
        content: bytes,
        tag: str | None,
    ) -> str | None:
        """Makes an object if there is none, or replaces the one that has a mark.

        Returns:
            The mark of the new content; None if the condition does not hold.
        """

    def get(self, key: str) -> Claim | None:
        """Returns what an object holds; None if there is none."""

    def delete(self, key: str) -> None:
        """Removes an object; nothing happens if there is none."""

    def copy(self, source: str, target: str) -> None:
        """Copies an object."""


def first_line(error: Exception) -> str:
    """The first line of a client's error; what follows are fields of its own structures."""
    return str(error).partition("\n")[0]
