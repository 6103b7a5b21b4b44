"""Sends the local server thousands of requests that no caller should send.

    python -m benchmarks.serving_fuzz [--requests=5000] [--seed=0]
    python -m benchmarks.serving_fuzz --target=localhost:8500 --rest=localhost:8501 --log=FILE

The first command serves a small model itself; the second asks a server that runs, whose log is FILE
and whose model is that of `benchmarks.support.small_shop`, or has the name --model_name. So many
requests go over gRPC, and as many over REST, as bytes on a connection. The server must refuse or
answer each in time: INTERNAL, 500, a traceback in its log, a whole request without an answer, or
another prediction afterwards is a fault. Prints each fault with its seed, and a line of JSON with
the answers by code. The exit code is 1 after a fault.
"""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import random
import socket
import sys
import tempfile
from collections.abc import Iterator

import grpc
import numpy as np
from absl import flags

from benchmarks.support import hostile_requests, local_server, small_shop
from tafe_tf.serving.conformance.target import Target
from tafe_tf.terminal import command

_REQUESTS = flags.DEFINE_integer("requests", 5000, "Requests for each door.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first request; each has one of its own.")
_TARGET = flags.DEFINE_string("target", "", "The gRPC address of a server that runs, HOST:PORT.")
_REST = flags.DEFINE_string("rest", "", "The REST address of that server, HOST:PORT.")
_NAME = flags.DEFINE_string("model_name", small_shop.NAME, "The model's name on that server.")
_LOG = flags.DEFINE_string("log", "", "The file of that server's log.")

SECONDS = 30.0  # that an answer may take
_ROWS = 3  # of the request from which hostile ones are made
_DEAD = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class Fuzz:
    """Sends hostile requests to a server and notes what comes back.

    Args:
        target: The server.

    Attributes:
        codes: How often each code was answered, by door.
        faults: What must not be, a line each.
    """

    def __init__(self, target: Target) -> None:
        self.codes: dict[str, collections.Counter[str]] = {
            "grpc": collections.Counter(),
            "rest": collections.Counter(),
        }
        self.faults: list[str] = []
        self._target = target

    def over_grpc(self, seed: int) -> None:
        """Sends one request over gRPC."""
        request = self._target.request(self._target.rows(_ROWS))
        method, message = hostile_requests.grpc_call(random.Random(seed), request)
        try:
            self._target.send_bytes(message, method)
        except grpc.RpcError as error:
            code = error.code()
            self.codes["grpc"][code.name] += 1
            if code in _DEAD:
                self.faults.append(f"gRPC, seed {seed}: {method} {code.name} {error.details()}")
        else:
            self.codes["grpc"]["OK"] += 1

    def over_rest(self, seed: int) -> None:
        """Sends one request over REST, on a connection of its own."""
        columns = {}
        for name, values in self._target.rows(_ROWS).items():
            columns[name] = json.loads(json.dumps(values.tolist(), default=bytes.decode))
        rng = random.Random(seed)
        message, is_whole = hostile_requests.rest_call(rng, self._target.model, columns)
        try:
            answers = exchange(self._target.rest, message)
        except OSError as error:
            self.faults.append(f"REST, seed {seed}: {type(error).__name__}: {error}")
            return
        for code in codes_of(answers) or ["none"]:
            self.codes["rest"][code] += 1
            if code == "500" or (code == "none" and is_whole):
                self.faults.append(f"REST, seed {seed}: {code} for {message[:120]!r}")


def exchange(address: str, message: bytes) -> bytes:
    """Writes bytes to a new connection, ends it, and returns all that is answered.

    Raises:
        OSError: If no end comes in time.
    """
    host, _, port = address.rpartition(":")
    found = b""
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        with contextlib.suppress(ConnectionError):  # the server may have answered and closed
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                found += part
    return found


def codes_of(answers: bytes) -> list[str]:
    """The HTTP codes of the answers on a connection."""
    lines = answers.split(b"HTTP/1.1 ")[1:]
    return [line[:3].decode() for line in lines]


def run(target: Target, log: pathlib.Path) -> Fuzz:
    """Sends all requests, and looks at the log and at a prediction afterwards."""
    fuzz = Fuzz(target)
    rows = target.rows(_ROWS)
    before = target.client.predict(rows)
    tracebacks = _tracebacks(log)
    for seed in range(_SEED.value, _SEED.value + _REQUESTS.value):
        fuzz.over_grpc(seed)
        fuzz.over_rest(seed)
    if _tracebacks(log) > tracebacks:
        fuzz.faults.append(f"the log has {_tracebacks(log) - tracebacks} tracebacks: {log}")
    after = target.client.predict(rows)
    for name, values in before.items():
        if not np.array_equal(values, after[name]):
            fuzz.faults.append(f"output {name} has changed")
    return fuzz


def _tracebacks(log: pathlib.Path) -> int:
    return log.read_text(errors="replace").count("Traceback")


@contextlib.contextmanager
def running_server() -> Iterator[tuple[str, str, pathlib.Path]]:
    """The addresses and the log of the server of --target, or of one that is started."""
    if _TARGET.value:
        yield _TARGET.value, _REST.value, pathlib.Path(_LOG.value)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        version = small_shop.export(directory, seed=0)
        with local_server.served(version.parent, small_shop.NAME, directory / "log") as server:
            yield server.grpc, server.rest, server.log


def main(argv: list[str]) -> None:
    """Runs the series; exit code 1 after a fault."""
    command.only_flags(argv)
    with running_server() as (grpc_address, rest_address, log):
        target = Target(grpc_address, rest_address, _NAME.value, SECONDS, None)
        fuzz = run(target, log)
        target.close()
    for fault in fuzz.faults:
        print(fault[:300])
    codes = {door: dict(found) for door, found in fuzz.codes.items()}
    first, last = _SEED.value, _SEED.value + _REQUESTS.value - 1
    print(json.dumps({"seeds": [first, last], "codes": codes, "faults": len(fuzz.faults)}))
    sys.exit(1 if fuzz.faults else 0)


if __name__ == "__main__":
    command.run(main)
