"""The REST door from outside: hostile framing, slow and idle callers, large bodies, and its end.

The door is opened in this process, on models that are none: TensorFlow has no part in it.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tafe_tf.serving.conformance.framing import ambiguous
from tafe_tf.serving.server import rest_door
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.rest_door import RestServer
from tafe_tf.serving.server.running import RunningCalls

STATUS = b"GET /v1/models/shop HTTP/1.1\r\nHost: x\r\n\r\n"
THREADS = 2


class Door:
    """An open door, and what is behind it."""

    def __init__(self) -> None:
        self.models = ServedModels()
        self.running = RunningCalls()
        self.server = RestServer(self.models, self.running, "localhost", 0, THREADS)
        self.server.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(("localhost", self.server.port), timeout=10.0)

    def exchange(self, message: bytes) -> bytes:
        """All that is answered on a connection until the server closes it."""
        found = b""
        with self.connect() as connection:
            connection.sendall(message)
            while part := connection.recv(1 << 16):
                found += part
        return found

    def answers(self) -> bool:
        """Whether the status of a model is answered: there is none."""
        client = http.client.HTTPConnection("localhost", self.server.port, timeout=10.0)
        client.request("GET", "/v1/models/shop")
        response = client.getresponse()
        text = json.load(response)["error"]
        client.close()
        return text == "Could not find any versions of model shop" and response.status == 404


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    found = Door()
    yield found
    found.server.stop(10.0)


@pytest.mark.parametrize("what", ambiguous(""))
def test_ambiguous_framing_is_refused_and_closed(door: Door, what: str) -> None:
    """One answer, although each carries a second request; then the end of the connection."""
    answers = door.exchange(ambiguous("/v1/models/shop:predict")[what])
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"400"]
    assert b"connection: close" in answers.lower()


def test_nothing_is_told_of_the_program(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(STATUS)
        assert b"server:" not in connection.recv(1 << 16).lower()


def test_a_kept_connection_and_one_that_is_half_closed_are_answered(door: Door) -> None:
    client = http.client.HTTPConnection("localhost", door.server.port, timeout=10.0)
    for _ in range(2):
        client.request("GET", "/v1/models/shop")
        response = client.getresponse()
        assert response.status == 404 and response.read()
    kept = client.sock
    kept.sendall(STATUS)
    kept.shutdown(socket.SHUT_WR)
    assert b"".join(iter(lambda: kept.recv(1 << 16), b"")).startswith(b"HTTP/1.1 404")
    client.close()


def test_idle_and_slow_callers_close_it_to_nobody(door: Door) -> None:
    """1,000 that say nothing, and 50 whose bodies do not end, with two threads."""
    silent = [door.connect() for _ in range(1000)]
    slow = [door.connect() for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\n")
        connection.sendall(b"Content-Length: 1000\r\n\r\nx")
    assert door.answers()
    for connection in (*silent, *slow):
        connection.close()


def test_a_header_has_a_limited_time(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    """However it drips in; also the first one of a connection."""
    monkeypatch.setattr(rest_door, "_IDLE_SECONDS", 0.3)
    with door.connect() as connection:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            for letter in STATUS * 100:
                connection.sendall(bytes([letter]))
                time.sleep(0.02)
        assert time.monotonic() - began < 8.0


def test_the_idlest_connection_makes_room(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    monkeypatch.setattr(rest_door, "_CONNECTIONS", 3)
    idle = [door.connect() for _ in range(3)]
    time.sleep(0.2)
    assert door.answers()
    assert idle[0].recv(1) == b""
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("value", [b"[],", b"{},", b"1,"])
def test_a_large_body_is_refused_before_it_is_read(door: Door, value: bytes) -> None:
    """32 MiB of empty lists: reading them took minutes, in which nobody was answered."""
    body = b'{"instances": [' + value * ((32 << 20) // len(value)) + b"1]}"
    client = http.client.HTTPConnection("localhost", door.server.port, timeout=30.0)
    client.request("POST", "/v1/models/shop:predict", body)
    response = client.getresponse()
    assert response.status == 413
    assert "commas and brackets; send fewer rows a request" in json.load(response)["error"]
    client.close()


def test_what_runs_ends_and_what_comes_is_refused() -> None:
    door = Door()
    client = http.client.HTTPConnection("localhost", door.server.port, timeout=10.0)
    client.request("GET", "/v1/models/shop")
    assert client.getresponse().read()
    door.models.end()
    assert door.running.wait_for_all(5.0) == 0
    client.request("POST", "/v1/models/shop:predict", b'{"inputs": {}}')  # on the kept connection
    response = client.getresponse()
    found = (response.status, response.getheader("Connection"), json.load(response)["error"])
    assert found == (503, "close", "the server is ending; ask again")
    stopping = threading.Thread(target=door.server.stop, args=(10.0,))
    stopping.start()
    stopping.join(10.0)
    assert not stopping.is_alive()
    with pytest.raises(ConnectionRefusedError):
        door.connect()
