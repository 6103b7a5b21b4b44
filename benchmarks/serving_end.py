"""Ends the local server with SIGTERM under load, again and again.

    python -m benchmarks.serving_end [--tries=100] [--seed=0]

Each try forks a server of a small model from a process that has TensorFlow imported, lets eight
gRPC and four REST callers ask without a pause, and sends SIGTERM at a random moment. Faults are: a
call that was sent before the signal and got no answer; UNAVAILABLE or 503 before the signal;
another error; too few rows; and a server that does not end within its grace. A call that was sent
after the signal may find the connection cut or closed. Prints a line for each try with its seed,
its seconds from the signal to the end, and what the callers saw; then a line of JSON. The exit code
is 1 after a fault.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import numpy as np
from absl import flags
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.support import local_server, small_shop
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.serving.wire import tensors
from tafe_tf.terminal import command

_TRIES = flags.DEFINE_integer("tries", 100, "How many servers are ended.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first try; each has one of its own.")

GRPC_CALLERS = 8
REST_CALLERS = 4
GRACE = 12.0  # seconds from the signal to the end at most
PAUSE = 0.02  # seconds after an error
SIZES = (1, 20, 2000)  # rows of a request; the last one takes long enough to be interrupted
BODIES = [json.dumps({"inputs": small_shop.rows(size)}).encode() for size in SIZES]


class Try:
    """What callers see of one server, from its first answer to its end.

    Attributes:
        seen: How often each outcome was seen.
        faults: How often each fault was.
    """

    def __init__(self) -> None:
        self.seen: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self.answered = threading.Event()
        self._signalled_at = float("inf")
        self._stop = threading.Event()

    def signal(self, process: int) -> None:
        """Sends SIGTERM."""
        self._signalled_at = time.monotonic()
        os.kill(process, signal.SIGTERM)

    def stop(self) -> None:
        """Lets the callers end."""
        self._stop.set()

    def keep_asking(self, ask: Callable[[], str]) -> None:
        """Asks until the server has ended, and judges each outcome.

        Args:
            ask: Asks once; returns "ok", "refused" (UNAVAILABLE or 503), "cut" (the connection was
                closed), "closed" (nobody listens), or anything else, which is a fault.
        """
        while not self._stop.is_set():
            sent = time.monotonic()
            outcome = ask()
            if outcome == "ok":
                self.answered.set()
            is_known = outcome == "ok"
            if time.monotonic() >= self._signalled_at:
                is_known |= outcome == "refused"
            if sent >= self._signalled_at:
                is_known |= outcome in ("cut", "closed")
                outcome += " after the signal"
            self.seen[outcome] += 1
            if not is_known:
                self.faults[outcome] += 1
            if not outcome.startswith("ok"):
                time.sleep(PAUSE)


def over_grpc(
    address: str, requests: list[predict_pb2.PredictRequest], rng: random.Random
) -> Callable[[], str]:
    """Asks over gRPC, without retries."""
    channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask() -> str:
        place = rng.randrange(len(SIZES))
        try:
            found = stub.Predict(requests[place], timeout=60.0)
        except grpc.RpcError as error:
            code = error.code()
            if code != grpc.StatusCode.UNAVAILABLE:
                return f"{code.name}: {error.details()}"
            return "refused" if "is ending" in error.details() else "closed"
        rows = len(found.outputs["ctr"].float_val)
        return "ok" if rows == SIZES[place] else f"{rows} rows"

    return ask


def over_rest(address: str, rng: random.Random) -> Callable[[], str]:
    """Asks over REST, on a connection that is kept."""
    connection = http.client.HTTPConnection(address, timeout=60.0)
    path = f"/v1/models/{small_shop.NAME}:predict"

    def ask() -> str:
        place = rng.randrange(len(SIZES))
        try:
            connection.request("POST", path, BODIES[place])
            response = connection.getresponse()
            document = json.loads(response.read())
        except ConnectionRefusedError:
            connection.close()
            return "closed"
        except (ConnectionError, http.client.HTTPException):
            connection.close()
            return "cut"
        if response.status == 503:
            is_last = response.getheader("Connection") == "close"
            return "refused" if is_last else "503 without an end of the connection"
        if response.status != 200:
            return f"{response.status}: {document}"
        rows = len(document["outputs"]["ctr"])
        return "ok" if rows == SIZES[place] else f"{rows} rows"

    return ask


def run_try(
    servers: subprocess.Popen[str],
    base_path: pathlib.Path,
    requests: list[predict_pb2.PredictRequest],
    seed: int,
) -> tuple[Try, float]:
    """Starts a server, asks it and ends it.

    Returns:
        What was seen, and the seconds from the signal to the end.
    """
    rng = random.Random(seed)
    log = base_path.parent / f"log-{seed}"
    log.touch()
    arguments, grpc_address, rest_address = local_server.flags(base_path, small_shop.NAME)
    assert servers.stdin and servers.stdout
    servers.stdin.write(json.dumps([str(log), *arguments]) + "\n")
    servers.stdin.flush()
    process = int(servers.stdout.readline())
    local_server.wait_until_open(log)
    found = Try()
    asks = [over_grpc(grpc_address, requests, random.Random(seed)) for _ in range(GRPC_CALLERS)]
    asks += [over_rest(rest_address, random.Random(seed)) for _ in range(REST_CALLERS)]
    callers = [threading.Thread(target=found.keep_asking, args=(ask,)) for ask in asks]
    for caller in callers:
        caller.start()
    found.answered.wait(60.0)
    time.sleep(rng.uniform(0.2, 1.5))
    signalled = time.monotonic()
    found.signal(process)
    is_hung = threading.Timer(GRACE, os.kill, (process, signal.SIGKILL))
    is_hung.start()
    code = int(servers.stdout.readline())
    seconds = time.monotonic() - signalled
    is_hung.cancel()
    found.stop()
    for caller in callers:
        caller.join()
    if code:
        found.faults[f"exit code {code} after {seconds:.1f} s"] += 1
    if "Traceback" in log.read_text(errors="replace"):
        found.faults[f"a traceback in {log}"] += 1
    return found, seconds


def make_requests(version: pathlib.Path) -> list[predict_pb2.PredictRequest]:
    """Predict requests of all sizes."""
    model = SessionModel(version)
    arguments = model.arguments[DEFAULT_SIGNATURE]
    model.close()
    requests = []
    for size in SIZES:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = small_shop.NAME
        columns = small_shop.rows(size)
        for name, dtype in arguments:
            tensors.encode(np.array(columns[name], dtype), request.inputs[name])
        requests.append(request)
    return requests


@contextlib.contextmanager
def forked_servers() -> Iterator[subprocess.Popen[str]]:
    """The program that forks servers."""
    command_line = [sys.executable, "-m", "benchmarks.support.forked_servers"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command_line, text=True, **pipes) as servers:  # type: ignore[call-overload]
        yield servers


def main(argv: list[str]) -> None:
    """Runs all tries; exit code 1 after a fault."""
    command.only_flags(argv)
    seen: collections.Counter[str] = collections.Counter()
    faults: collections.Counter[str] = collections.Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as name, forked_servers() as servers:
        version = small_shop.export(pathlib.Path(name), seed=0)
        requests = make_requests(version)
        for seed in range(_SEED.value, _SEED.value + _TRIES.value):
            found, seconds = run_try(servers, version.parent, requests, seed)
            print(f"seed {seed}: {seconds:.1f} s, {dict(found.seen)}", flush=True)
            for fault, count in found.faults.items():
                print(f"  FAULT, {count} times: {fault}", flush=True)
            seen += found.seen
            faults += found.faults
            longest = max(longest, seconds)
    figures = {"tries": _TRIES.value, "longest_s": round(longest, 2), "seen": dict(seen)}
    print(json.dumps({**figures, "faults": dict(faults)}))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    command.run(main)
