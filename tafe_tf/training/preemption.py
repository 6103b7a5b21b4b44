"""SIGTERM, with which machines are taken back: the loop saves and leaves."""

from __future__ import annotations

import signal

from tafe_tf.distributed.end_request import EndRequest


class Preempted(Exception):
    """Training was asked to stop and has written a checkpoint; the same command goes on."""


class Preemption(EndRequest):
    """Within it, SIGTERM does not end the process but sets `asked`; a second one ends it.

    A supervisor may send SIGTERM to all processes of a job while the launcher passes it on to them.
    So signals within a second of the first one are the same request.
    """

    def __init__(self) -> None:
        super().__init__((signal.SIGTERM,), seconds=1.0)
