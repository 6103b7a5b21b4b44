"""What a driver is: it deals the parts of a job out, and reports what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

OnRows = Callable[[int], None]
Work = Callable[[Any], Iterable[int]]


class EngineError(ValueError):
    """A part failed, or an engine does not work; the message is one line."""


class Part(Protocol):
    """A part of a job: a picklable value that says where a worker has to look.

    Attributes:
        path: The file that the part is of, for the message if it fails.
    """

    @property
    def path(self) -> str: ...


class Driver(Protocol):
    """Deals out parts.

    Attributes:
        each_part: Whether every part should be a piece of work of its own. Otherwise parts that
            follow each other in a file may be one.
    """

    each_part: bool

    def run(
        self,
        work: Work,
        parts: Sequence[Part],
        on_rows: OnRows,
    ) -> None:
        """Has every part done once, or more than once if a worker is lost.

        Args:
            work: Does a part, and yields the number of rows of each block once it is written. It
                can be pickled, and may be called twice for a part, even at the same time.
            parts: The parts.
            on_rows: Is called with the number of rows that are done, if the engine tells them
                before its end.

        Raises:
            EngineError: If a part fails on a worker, or the engine cannot be reached.
        """
