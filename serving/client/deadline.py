"""How long a call may take, and when it is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

import grpc

from tafe_tf.serving.wire.errors import ServingError

Answer = TypeVar("Answer")
Steps = Generator[tuple[str, Any], Any, Answer]  # yields a method and its request

_FIRST_PAUSE = 0.1  # seconds before the second attempt; each pause is twice the one before
_LONGEST_PAUSE = 2.0  # which finds a server that has restarted soon enough
_LONGEST_CALL = 1e6  # seconds; gRPC counts no infinite ones


class Deadline:
    """The end of the time that a call may take.

    Args:
        seconds: How long it may take from now on; infinity is allowed.
        clock: Tells the time in seconds. Default: Python's monotonic clock.

    Example:
        >>> from tafe_tf.serving.client.deadline import Deadline
        >>> Deadline(3.0, clock=lambda: 100.0).remaining()
        3.0
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """The seconds that are left, 0 if none are."""
        return max(self._end - self._clock(), 0.0)

    def check(self) -> None:
        """Raises ServingError, DEADLINE_EXCEEDED, if no time is left."""
        if self.remaining() == 0.0:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


class Call(NamedTuple):
    """What to do next: ask the server.

    Attributes:
        method: The method's name.
        request: Its request.
        timeout: The seconds that it may take.
    """

    method: str
    request: Any
    timeout: float


class Pause(NamedTuple):
    """What to do next: nothing, for some seconds."""

    seconds: float


Actions = Generator[Call | Pause, Any, Answer]


def persistent(
    steps: Steps[Answer],
    deadline: Deadline,
    chance: Callable[[], float] = random.random,
) -> Actions[Answer]:
    """Carries out a conversation until a deadline, and repeats what a server was UNAVAILABLE for.

    Any other failure would either come again or might have had an effect the first time.

    Args:
        steps: The conversation: it yields a method and its request, and is sent the response or
            thrown the error.
        deadline: When all of it must have ended.
        chance: Draws from 0 to 1, so that the clients of a server that went do not come back all
            at once. Default: Python's own generator.

    Returns:
        A generator of what to do. It is sent the response to each `Call`, or thrown its error.
    """
    try:
        method, request = next(steps)
        while True:
            try:
                response = yield from _asked(method, request, deadline, chance)
            except ServingError as error:
                method, request = steps.throw(error)
            else:
                method, request = steps.send(response)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def _asked(
    method: str,
    request: Any,
    deadline: Deadline,
    chance: Callable[[], float],
) -> Actions[Any]:
    """Asks until the server is there; its last refusal is raised when the time is nearly over."""
    pause = _FIRST_PAUSE
    while True:
        deadline.check()
        try:
            return (yield Call(method, request, min(deadline.remaining(), _LONGEST_CALL)))
        except ServingError as error:
            remaining = deadline.remaining()
            if error.code != grpc.StatusCode.UNAVAILABLE or remaining < _FIRST_PAUSE:
                raise
        jittered = pause * (0.5 + 0.5 * chance())
        yield Pause(min(jittered, remaining / 2))  # so that the last attempt is near the end
        pause = min(2 * pause, _LONGEST_PAUSE)
