"""Measures a request through gRPC to another process, and the same without gRPC in a session.

    python -m benchmarks.serving_speed [--seconds=4] [--rounds=5]

Ali-CCP's 18 fields and an untrained TAFE. Prints tables with the milliseconds of a request of 1,
100 and 500 rows (median and 99th percentile), and with the rows/s of requests of 100 rows from 1, 8
and 32 clients at a time; then a line of JSON. Rounds alternate between both ways, and a figure is
the median of its rounds.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.support import ali_ccp_export, ali_ccp_shape
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.client import Client
from tafe_tf.terminal import command

_SECONDS = flags.DEFINE_float(
    "seconds", 4.0, "Seconds that a figure of each way is measured in a round.", lower_bound=0.1
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How many times all is measured.", lower_bound=1)
_ADDRESS = flags.DEFINE_string(
    "address", "localhost:8509", "HOST:PORT that the local server is started on."
)

Ask = Callable[[Mapping[str, np.ndarray]], object]

SIZES = (1, 100, 500)  # rows of a request whose time is measured
PERCENTILES = (50, 99)
CLIENTS = (1, 8, 32)
CLIENT_ROWS = 100  # of a client's request
BURST = 0.5  # seconds until the other way's turn


def latencies(ways: Mapping[str, Ask], size: int) -> dict[str, list[float]]:
    """Measures one request after the other, in bursts that alternate between the ways.

    Args:
        ways: What answers a request, by name.
        size: Rows of a request.

    Returns:
        The milliseconds of each request, by way.
    """
    request = ali_ccp_shape.rows(size)
    seen: dict[str, list[float]] = {way: [] for way in ways}
    end = time.perf_counter() + len(ways) * _SECONDS.value
    while time.perf_counter() < end:
        for way, ask in ways.items():
            end_of_burst = time.perf_counter() + BURST
            while (began := time.perf_counter()) < end_of_burst:
                ask(request)
                seen[way].append(1e3 * (time.perf_counter() - began))
    return seen


def throughput(ask: Ask, clients: int) -> float:
    """Measures the rows per second of threads that ask without a pause.

    Args:
        ask: What answers a request.
        clients: Number of threads.
    """
    request = ali_ccp_shape.rows(CLIENT_ROWS)
    end = time.perf_counter() + _SECONDS.value
    rows = [0] * clients

    def ask_on(client: int) -> None:
        while time.perf_counter() < end:
            ask(request)
            rows[client] += CLIENT_ROWS

    threads = [threading.Thread(target=ask_on, args=(client,)) for client in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rows) / (time.perf_counter() - began)


def measure(ways: Mapping[str, Ask]) -> dict[str, float]:
    """Measures every figure in every round; returns the medians by name."""
    seen: dict[str, list[float]] = {}
    for _ in range(_ROUNDS.value):
        for size in SIZES:
            for way, times in latencies(ways, size).items():
                for p in PERCENTILES:
                    percentile = float(np.percentile(times, p))
                    seen.setdefault(f"{way}/{size}/p{p}", []).append(percentile)
        for clients in CLIENTS:
            for way, ask in ways.items():
                rows_per_second = throughput(ask, clients)
                seen.setdefault(f"{way}/rows_per_s/{clients}", []).append(rows_per_second)
    return {name: statistics.median(values) for name, values in seen.items()}


def show(figures: Mapping[str, float], ways: Mapping[str, Ask]) -> None:
    """Prints a table of times and one of throughput."""
    columns = [(way, p) for way in ways for p in PERCENTILES]
    headers = [f"{way} p{p}" for way, p in columns]
    times = Table("rows", *headers, title="milliseconds")
    for size in SIZES:
        times.add_row(str(size), *(f"{figures[f'{way}/{size}/p{p}']:.2f}" for way, p in columns))
    Console().print(times)
    speeds = Table("clients", *ways, title=f"rows/s, {CLIENT_ROWS} a request")
    for clients in CLIENTS:
        of_ways = [figures[f"{way}/rows_per_s/{clients}"] for way in ways]
        speeds.add_row(str(clients), *(f"{speed:,.0f}" for speed in of_ways))
    Console().print(speeds)


@contextlib.contextmanager
def served(version: pathlib.Path) -> Iterator[Client]:
    """Starts the local server on an exported version, and stops it at the end."""
    port = _ADDRESS.value.rpartition(":")[2]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "tafe_tf.serving.server"),
            f"--port={port}",
            f"--model_base_path={version.parent}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(_ADDRESS.value, timeout=60.0) as client:
            while server.poll() is None:  # until it listens
                with contextlib.suppress(RuntimeError):
                    client.status()
                    break
                time.sleep(0.5)
            yield client
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def main(argv: list[str]) -> None:
    """Measures both ways in alternating rounds."""
    command.only_flags(argv)
    with tempfile.TemporaryDirectory() as directory:
        version = ali_ccp_export.export(pathlib.Path(directory))
        with served(version) as client:
            ways: dict[str, Ask] = {"session": SessionModel(version), "gRPC": client.predict}
            for ask in ways.values():
                ask(ali_ccp_shape.rows(1))
            figures = measure(ways)
    show(figures, ways)
    figures["overhead_1_row_ms"] = figures["gRPC/1/p50"] - figures["session/1/p50"]
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    command.run(main)
