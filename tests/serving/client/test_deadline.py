"""When a call is tried again and when it ends, by a clock that a test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from signature_infos import tensor_infos

from tafe_tf.serving.client import arrow_columns, columns
from tafe_tf.serving.client.deadline import Call, Deadline, Pause, Steps, persistent
from tafe_tf.serving.wire.errors import ServingError

AWAY = ServingError(grpc.StatusCode.UNAVAILABLE, "connection refused")


class World:
    """A clock, and a server that is away until a time; `attempts` notes when it was asked."""

    def __init__(self, back: float, of_an_attempt: float = 0.0) -> None:
        self.now = 1000.0
        self.back = self.now + back
        self.of_an_attempt = of_an_attempt
        self.attempts: list[float] = []

    def run(self, seconds: float, error: ServingError = AWAY, chance: float = 0.5) -> Any:
        """Carries out one question."""
        deadline = Deadline(seconds, clock=lambda: self.now)
        actions = persistent(_one_question(), deadline, chance=lambda: chance)
        action: Call | Pause = next(actions)
        try:
            while True:
                if isinstance(action, Pause):
                    self.now += action.seconds
                    action = next(actions)
                    continue
                self.attempts.append(self.now)
                self.now += min(self.of_an_attempt, action.timeout)
                is_away = self.now < self.back
                action = actions.throw(error) if is_away else actions.send("answer")
        except StopIteration as end:
            return end.value


def _one_question() -> Steps[str]:
    response = yield "Predict", "request"
    return f"{response} read"


@pytest.mark.parametrize("back", [0.0, 0.05, 1.0, 9.0, 29.0])
def test_a_server_that_comes_back_within_the_deadline_answers(back: float) -> None:
    world = World(back)
    assert world.run(30.0) == "answer read"
    assert world.now - world.back <= 2.0  # the longest pause
    assert len(world.attempts) < 40


def test_a_server_that_stays_away_is_asked_until_the_end_and_no_longer() -> None:
    world = World(back=1e9)
    with pytest.raises(ServingError, match="UNAVAILABLE: connection refused"):
        world.run(30.0)
    assert 29.7 <= world.attempts[-1] - 1000.0 <= world.now - 1000.0 <= 30.0


def test_pauses_grow_and_are_never_the_same_for_all() -> None:
    pauses = {}
    for chance in (0.0, 1.0):
        world = World(back=1e9)
        with pytest.raises(ServingError):
            world.run(30.0, chance=chance)
        pauses[chance] = np.diff(world.attempts)
        growing = pauses[chance][:6]
        assert (np.diff(growing) >= 0.0).all() and growing.max() <= 2.0
    np.testing.assert_allclose(pauses[1.0][:6], [0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    np.testing.assert_allclose(pauses[0.0][:6], pauses[1.0][:6] / 2)


def test_attempts_that_take_long_do_not_pass_the_deadline() -> None:
    world = World(back=1e9, of_an_attempt=7.0)
    with pytest.raises(ServingError, match="UNAVAILABLE"):
        world.run(30.0)
    assert world.now - 1000.0 <= 30.0


@pytest.mark.parametrize("code", ["INTERNAL", "CANCELLED", "RESOURCE_EXHAUSTED", "NOT_FOUND"])
def test_other_failures_are_not_tried_again(code: str) -> None:
    world = World(back=1e9)
    error = ServingError(getattr(grpc.StatusCode, code), "no")
    with pytest.raises(ServingError, match=code):
        world.run(30.0, error)
    assert len(world.attempts) == 1


def test_without_an_end_a_call_has_a_time_that_grpc_can_count() -> None:
    action = next(persistent(_one_question(), Deadline(float("inf"))))
    assert isinstance(action, Call) and action.timeout == 1e6


def ragged(count: int) -> dict[str, Any]:
    """Columns that take long: lists of texts of unequal length, and numbers with None."""
    tags = [["a", "b"] if row % 3 else ["c"] for row in range(count)]
    prices = [None if row % 7 == 0 else float(row) for row in range(count)]
    return {"tags": tags, "price": prices}


def clock_of_looks(looks: int) -> Callable[[], float]:
    """A clock that passes second 5 at some look at it."""
    times = iter([0.0] * (1 + looks) + [6.0] * 1000)
    return lambda: next(times)


@pytest.mark.parametrize("looks", [0, 1, 2, 5])
def test_converting_columns_ends_when_the_time_does(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_columns, "_ROWS_AT_ONCE", 64)
    deadline = Deadline(5.0, clock_of_looks(looks))
    inputs = columns.types(tensor_infos(tags="strings", price="float32"))
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
        columns.to_arrays(ragged(300), inputs, "", deadline.check)


def test_a_long_column_in_parts_is_the_column_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = columns.types(tensor_infos(tags="strings", price="float32"))
    given = ragged(1000)
    given["tags"][700] = ["x", "y", "z", None]
    whole, _ = columns.to_arrays(given, inputs, "")
    monkeypatch.setattr(arrow_columns, "_ROWS_AT_ONCE", 64)
    parts, _ = columns.to_arrays(given, inputs, "")
    for name, array in whole.items():
        assert parts[name].dtype == array.dtype
        np.testing.assert_array_equal(parts[name], array)
    given["price"][900] = "x"
    with pytest.raises(ServingError, match="column 'price', row 901: must be a number"):
        columns.to_arrays(given, inputs, "")
