"""A limit on the bytes that all REST requests together hold in memory."""

from __future__ import annotations

import threading

ALL_BYTES = 1 << 30  # that all requests hold together at most
SMALL_BYTES = 1 << 20  # a request that holds no more than this is small
_LARGE_SHARE = 3 / 4  # of all bytes that requests may hold that are not small


class MemoryLimit:
    """Counts what requests hold; may be used from many threads.

    Requests that are not small leave a quarter to the small ones, so that a few large bodies that
    never end do not shut the others out.

    Args:
        all_bytes: What all requests may hold together; 1 GiB by default.
    """

    def __init__(self, all_bytes: int = ALL_BYTES) -> None:
        self._all_bytes = all_bytes
        self._held = 0
        self._lock = threading.Lock()

    def share(self) -> Share:
        """What one request holds: nothing at first."""
        return Share(self)

    def take(self, count: int, is_small: bool) -> bool:
        """Takes bytes unless too many would be held then; says whether it did."""
        limit = self._all_bytes if is_small else int(self._all_bytes * _LARGE_SHARE)
        with self._lock:
            if self._held + count > limit:
                return False
            self._held += count
            return True

    def give_back(self, count: int) -> None:
        """Lets others take bytes that are no longer held."""
        with self._lock:
            self._held -= count


class Share:
    """The bytes that one request holds, which the end of a `with` block gives back.

    Args:
        limit: What the bytes are taken from.

    Attributes:
        held: The number of bytes.
    """

    def __init__(self, limit: MemoryLimit) -> None:
        self.held = 0
        self._limit = limit

    def take(self, count: int) -> bool:
        """Takes more bytes; if there are too few, the request takes none and False is returned."""
        is_small = self.held + count <= SMALL_BYTES
        taken = self._limit.take(count, is_small)
        if taken:
            self.held += count
        return taken

    def give_back(self) -> None:
        """Gives all bytes back."""
        self._limit.give_back(self.held)
        self.held = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()
