"""The calls that run now, so that the server can end after the last one of them."""

from __future__ import annotations

import threading


class RunningCalls:
    """Counts the calls of both doors; may be used from many threads.

    A call runs until its answer is handed to the network.
    """

    def __init__(self) -> None:
        self._count = 0
        self._counts = True
        self._changed = threading.Condition()

    def begin(self) -> bool:
        """Counts a call that begins; False if it is not counted and `done` must not be called."""
        with self._changed:
            self._count += self._counts
            return self._counts

    def done(self) -> None:
        """Counts a call that has ended."""
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait_for_all(self, seconds: float) -> int:
        """Waits until the calls that have begun are done; later ones are no longer counted.

        Args:
            seconds: How long to wait at most.

        Returns:
            The number of calls that still run.
        """
        with self._changed:
            self._counts = False
            self._changed.wait_for(lambda: self._count == 0, seconds)
            return self._count
