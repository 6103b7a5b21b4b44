"""Which version answers a request, and how long it stays; on versions without a model."""

from __future__ import annotations

import pathlib
import threading
from typing import Any

import pytest
from tensorflow_serving.apis import model_pb2

from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.running import RunningCalls
from tafe_tf.serving.server.versions import State
from tafe_tf.serving.wire.errors import ServingError, invalid


class Session:
    """Stands for a loaded model."""


def served(*available: int, loading: tuple[int, ...] = ()) -> ServedModels:
    """The model "shop" with some versions."""
    models = ServedModels()
    paths = {number: pathlib.Path(f"/shop/{number}") for number in (*available, *loading)}
    for number, version in models.add("shop", paths).items():
        if number in available:
            version.session = Session()  # type: ignore[assignment]
            models.set_state(version, State.AVAILABLE)
        else:
            models.set_state(version, State.LOADING)
    return models


def spec(name: str = "shop", **choice: Any) -> model_pb2.ModelSpec:
    found = model_pb2.ModelSpec(name=name, version_label=choice.get("label", ""))
    if "label" not in choice:
        found.ClearField("version_label")
    if "version" in choice:
        found.version.value = choice["version"]
    return found


def test_the_latest_version_that_is_loaded_answers() -> None:
    models = served(2, 10, loading=(11,))
    models.set_labels({"shop": {"stable": 2}})
    with models.use(spec()) as version:
        assert (version.number, version.users) == (10, 1)
    assert version.users == 0
    for choice in ({"version": 2}, {"label": "stable"}):
        with models.use(spec(**choice)) as version:
            assert version.number == 2


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (spec(name=""), "INVALID_ARGUMENT: ModelSpec has no name specified."),
        (spec(label="x"), "INVALID_ARGUMENT: Unrecognized servable version label: x"),
        (spec(name="no"), r"NOT_FOUND: Servable not found for request: Latest\(no\)"),
        (spec(version=11), r"NOT_FOUND: Servable not found for request: Specific\(shop, 11\)"),
        (spec(version=12), r"NOT_FOUND: Servable not found for request: Specific\(shop, 12\)"),
    ],
)
def test_what_cannot_be_asked(asked: model_pb2.ModelSpec, text: str) -> None:
    models = served(2, 10, loading=(11,))
    with pytest.raises(ServingError, match=text), models.use(asked):
        pass


def test_status_is_told_newest_first() -> None:
    models = served(2, 10, loading=(11,))
    failure = invalid("broken")
    models.set_state(models.versions("shop")[11], State.END, failure)
    found = models.status(spec())
    states = [(status.version, status.state) for status in found]
    assert states == [(11, State.END), (10, State.AVAILABLE), (2, State.AVAILABLE)]
    assert (found[0].status.error_code, found[0].status.error_message) == (3, "broken")
    assert [status.version for status in models.status(spec(version=2))] == [2]
    assert models.failed(["shop", "no"]) == [models.versions("shop")[11]]
    for asked, text in (
        (spec(name="no"), "Could not find any versions of model no"),
        (spec(version=3), "Could not find version 3 of model shop"),
    ):
        with pytest.raises(ServingError, match=f"NOT_FOUND: {text}"):
            models.status(asked)


def test_an_end_refuses_new_requests_and_lets_those_that_run_be() -> None:
    models = served(2, loading=(11,))
    with models.use(spec()) as version:
        models.end()
        assert version.session is not None
        with pytest.raises(ServingError, match="UNAVAILABLE: the server is ending"):
            models.check_open()
    for asked in (spec(), spec(name="no"), spec(name="")):
        with pytest.raises(ServingError, match="UNAVAILABLE"), models.use(asked):
            pass
    states = [(status.version, status.state) for status in models.status(spec())]
    assert states == [(11, State.LOADING), (2, State.UNLOADING)]


def test_running_calls_are_waited_for_and_later_ones_are_not() -> None:
    running = RunningCalls()
    assert running.begin() and running.begin()
    running.done()
    assert running.wait_for_all(0.01) == 1
    assert not running.begin()
    left: list[int] = []
    waiting = threading.Thread(target=lambda: left.append(running.wait_for_all(60.0)))
    waiting.start()
    running.done()
    waiting.join(10.0)
    assert left == [0]


def test_a_version_is_withdrawn_once_its_requests_are_answered() -> None:
    models = served(1, 2)
    version = models.versions("shop")[2]
    session = version.session
    found: list[object] = []
    withdrawing = threading.Thread(target=lambda: found.append(models.withdraw(version)))
    with models.use(spec()):
        withdrawing.start()
        while version.state != State.UNLOADING:
            threading.Event().wait(0.001)
        assert found == [] and version.session is session
        with models.use(spec()) as other:
            assert other.number == 1  # nobody new gets the version that goes
    withdrawing.join(10.0)
    assert found == [session]
    assert (version.state, version.session) == (State.END, None)
    assert models.withdraw(version) is None
    models.forget("shop")
    assert models.names() == set()
