"""SIGTERM while training: one request to save, however often it is sent at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tafe_tf.training.preemption import Preemption


class Ended(Exception):
    """What the handler that was there before raises."""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def send() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_signals_at_once_are_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Preemption() as preempted:
        assert not preempted.asked
        send()
        now[0] += 0.9
        send()
        assert preempted.asked
        now[0] += 0.2
        with pytest.raises(Ended):
            send()
    with pytest.raises(Ended):
        send()
