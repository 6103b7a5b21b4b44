"""Signals that ask a job to end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class EndRequest:
    """Within it, signals do not end the process but set `asked`; a second one ends it.

    A signal that the process ignores, as a shell's background job ignores Ctrl-C, stays ignored.
    Outside the main thread, which alone may handle signals, nothing changes.

    Args:
        signals: Which signals. By default SIGTERM and Ctrl-C.
        seconds: Signals within so many seconds of the first are the same request. The default is 0.
    """

    def __init__(
        self,
        signals: Sequence[signal.Signals] = SIGNALS,
        seconds: float = 0.0,
    ) -> None:
        self.asked = False
        self._signals = signals
        self._seconds = seconds
        self._asked_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in self._signals:
            handler = signal.getsignal(number)
            if handler != signal.SIG_IGN:
                self._before[number] = handler
                signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked = True
            self._asked_at = now
        elif now - self._asked_at > self._seconds:
            self._restore()
            os.kill(os.getpid(), number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self._restore()
