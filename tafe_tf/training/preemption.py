"""SIGTERM, with which machines are taken back: the loop saves and leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_ONE_REQUEST = 1.0  # seconds within which several signals are one request


class Preempted(Exception):
    """Training was asked to stop and has written a checkpoint; the same command goes on."""


class Preemption:
    """Within it, SIGTERM does not end the process but sets `asked`; a second one ends it.

    A supervisor may send SIGTERM to all processes of a job while the launcher passes it on to them.
    So signals within a second of the first one are the same request.
    """

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0
        self._before: Any = None

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked = True
            self._asked_at = now
        elif now - self._asked_at > _ONE_REQUEST:
            signal.signal(signal.SIGTERM, self._before)
            os.kill(os.getpid(), signal.SIGTERM)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
