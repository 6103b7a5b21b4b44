"""Asks the local server for a long time while versions are published, and watches its memory.

    python -m benchmarks.serving_soak [--minutes=60] [--clients=8] [--publish_every=10]

Two versions of a small model, whose answers differ, take turns as the newest. Half of the clients
ask over gRPC, half over REST, each in its own pace. Every answer is compared with what its version
answers: one that fails, or that mixes versions, is a fault. Prints the server's memory for each
minute, then a line of JSON with the counts, the 99th percentiles of the first and the last sixth of
the time, and by how much the memory of the last sixth is above that of the second one. The exit
code is 1 after a fault.
"""

from __future__ import annotations

import collections
import json
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable

import numpy as np
from absl import flags

from benchmarks.support import local_server, small_shop
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.client import Client
from tafe_tf.terminal import command

_MINUTES = flags.DEFINE_float("minutes", 60.0, "Minutes that it takes.", lower_bound=0.1)
_CLIENTS = flags.DEFINE_integer("clients", 8, "Clients that ask at a time.", lower_bound=2)
_PUBLISH = flags.DEFINE_float(
    "publish_every", 10.0, "Seconds between two publications.", lower_bound=0.5
)
_PAUSE = flags.DEFINE_float(
    "pause", 0.2, "Seconds a client waits after an answer.", lower_bound=0.0
)

ROWS = 20  # of a request
KEPT = 3  # versions that are kept on disk
SIXTHS = 6

Answers = dict[str, np.ndarray]


class Soak:
    """What the clients have seen.

    Args:
        expected: The answers of the two versions, by the remainder of a version's number.
        seconds: How long it takes.

    Attributes:
        times: Moment and seconds of each answer.
        faults: How often each fault was seen.
    """

    def __init__(self, expected: dict[int, Answers], seconds: float) -> None:
        self.times: list[tuple[float, float]] = []
        self.faults: collections.Counter[str] = collections.Counter()
        self._expected = expected
        self._began = time.monotonic()
        self._end = self._began + seconds

    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._end

    def ask(self, question: Callable[[], tuple[int | None, Answers]]) -> None:
        """Asks again and again, and compares each answer."""
        while self.goes_on():
            asked = time.monotonic()
            try:
                version, answers = question()
            except Exception as error:
                self.faults[f"{type(error).__name__}: {error}"] += 1
            else:
                seconds = time.monotonic() - asked
                self.times.append((asked - self._began, seconds))
                self._compare(version, answers)
            time.sleep(_PAUSE.value)

    def _compare(self, version: int | None, answers: Answers) -> None:
        """An answer must be wholly that of its version, or of either where it names none."""
        turns = (0, 1) if version is None else (version % 2,)
        if not any(_close(answers, self._expected[turn]) for turn in turns):
            self.faults[f"mixed: version {version}"] += 1

    def p99(self, sixth: int) -> float:
        """The 99th percentile in milliseconds of a sixth of the time."""
        share = (self._end - self._began) / SIXTHS
        found = [seconds for at, seconds in self.times if int(at / share) == sixth]
        return round(1e3 * float(np.percentile(found, 99)), 1) if found else float("nan")


def _close(found: Answers, expected: Answers) -> bool:
    return found.keys() == expected.keys() and all(
        np.allclose(found[name], expected[name], rtol=0, atol=1e-5) for name in expected
    )


def over_grpc(address: str) -> Callable[[], tuple[int | None, Answers]]:
    """Asks over gRPC; an answer names its version."""
    client = Client(address, small_shop.NAME, timeout=30.0)
    columns = small_shop.rows(ROWS)

    def question() -> tuple[int | None, Answers]:
        found = client.predict(columns)
        return found.version, dict(found)

    return question


def over_rest(address: str) -> Callable[[], tuple[int | None, Answers]]:
    """Asks over REST; an answer names no version."""
    url = f"http://{address}/v1/models/{small_shop.NAME}:predict"
    body = json.dumps({"inputs": small_shop.rows(ROWS)}).encode()

    def question() -> tuple[int | None, Answers]:
        with urllib.request.urlopen(url, body, timeout=30.0) as response:
            outputs = json.load(response)["outputs"]
        return None, {name: np.array(values) for name, values in outputs.items()}

    return question


def keep_publishing(soak: Soak, versions: dict[int, pathlib.Path], base_path: pathlib.Path) -> int:
    """Publishes the versions in turns, and returns the number of the last one."""
    number = 1
    while soak.goes_on():
        time.sleep(_PUBLISH.value)
        number += 1
        local_server.publish(versions[number % 2], base_path, number)
        shutil.rmtree(base_path / str(number - KEPT), ignore_errors=True)
    return number


def watch_memory(soak: Soak, process: int) -> list[float]:
    """The server's memory in MiB, for each minute or each sixtieth of a shorter time."""
    found = []
    pause = min(60.0, _MINUTES.value)
    while soak.goes_on():
        time.sleep(pause)
        found.append(_memory(process))
        print(f"{len(found) * pause / 60:.0f} min: {found[-1]:.0f} MiB", flush=True)
    return found


def _memory(process: int) -> float:
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {process} has no memory")


def answers_of(version: pathlib.Path) -> Answers:
    """What a version answers, asked in this process."""
    model = SessionModel(version)
    columns = {name: np.array(values) for name, values in small_shop.rows(ROWS).items()}
    found = model({name: columns[name] for name in model.signatures["serving_default"].inputs})
    model.close()
    return dict(found)


def run(directory: pathlib.Path) -> dict[str, object]:
    """Makes two versions, serves them in turns and asks; returns the figures."""
    versions = {turn: small_shop.export(directory / str(turn), seed=turn) for turn in (0, 1)}
    expected = {turn: answers_of(version) for turn, version in versions.items()}
    base_path = directory / "models"
    base_path.mkdir()
    local_server.publish(versions[1], base_path, 1)
    with local_server.served(base_path, small_shop.NAME, directory / "log") as server:
        soak = Soak(expected, 60 * _MINUTES.value)
        questions = [over_grpc(server.grpc), over_rest(server.rest)]
        threads = []
        for client in range(_CLIENTS.value):
            question = questions[client % 2]
            threads.append(threading.Thread(target=soak.ask, args=(question,)))
        memory: list[float] = []
        watch = threading.Thread(target=lambda: memory.extend(watch_memory(soak, server.process)))
        for thread in (*threads, watch):
            thread.start()
        published = keep_publishing(soak, versions, base_path)
        for thread in (*threads, watch):
            thread.join()
    sixth = max(len(memory) // SIXTHS, 1)
    after_warm_up = float(np.mean(memory[sixth : 2 * sixth] or memory))
    return {
        "answers": len(soak.times),
        "faults": dict(soak.faults),
        "published": published,
        "loaded": server.log.read_text(errors="replace").count("is available")
        if server.log.exists()
        else None,
        "p99_first_ms": soak.p99(0),
        "p99_last_ms": soak.p99(SIXTHS - 1),
        "memory_growth": round(float(np.mean(memory[-sixth:])) / after_warm_up - 1, 4),
        "memory_mib": [round(value) for value in memory],
    }


def main(argv: list[str]) -> None:
    """Runs the soak; exit code 1 after a fault."""
    command.only_flags(argv)
    with tempfile.TemporaryDirectory() as directory:
        figures = run(pathlib.Path(directory))
    print(json.dumps(figures))
    sys.exit(1 if figures["faults"] else 0)


if __name__ == "__main__":
    command.run(main)
