"""Waits for the signals that end the server."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable


def catch(*numbers: int) -> Callable[[], None]:
    """Catches signals from now on.

    Python's own part of a signal handler runs in the main thread, between two of its steps: it
    must take no lock, and comes late where that thread waits for something else. So it does nothing
    here. The part in C, which runs in whichever thread gets the signal, writes a byte to a socket.

    Args:
        *numbers: The signals, such as `signal.SIGTERM`.

    Returns:
        A function that waits for the first of them, which may already have come.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        reading.recv(1)

    return wait
