"""What a request costs: through gRPC from another process, and the same without gRPC, in a session of this process.

python -m benchmarks.serving_speed [--seconds=4] [--rounds=5]

Latency in milliseconds at 1, 100 and 500 rows; rows/s of 100-row requests from 1, 8 and 32
clients at a time. Rounds alternate between both ways; a figure is the median of its rounds.
"""

from __future__ import annotations

import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
from absl import app, flags
from rich.console import Console
from rich.table import Table

from benchmarks.support import ali_ccp_export, ali_ccp_shape
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.client import Client

_SECONDS = flags.DEFINE_float("seconds", 4.0, "Seconds a figure, way and round.", lower_bound=0.1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds over all figures.", lower_bound=1)
_ADDRESS = flags.DEFINE_string("address", "localhost:8509", "Where the local server is started.")

Ask = Callable[[Mapping[str, np.ndarray]], object]
SIZES, CLIENTS, ROWS = (1, 100, 500), (1, 8, 32), 100
_BURST = 0.5  # seconds


def latencies(ways: Mapping[str, Ask], size: int) -> dict[str, list[float]]:
    """Milliseconds of one request after the other, in bursts that alternate between the ways."""
    rows = ali_ccp_shape.rows(size)
    seen: dict[str, list[float]] = {way: [] for way in ways}
    end = time.perf_counter() + len(ways) * _SECONDS.value
    while time.perf_counter() < end:
        for way, ask in ways.items():
            burst = time.perf_counter() + _BURST
            while (began := time.perf_counter()) < burst:
                ask(rows)
                seen[way].append(1e3 * (time.perf_counter() - began))
    return seen


def throughput(ask: Ask, clients: int) -> float:
    """Rows a second of `clients` threads that ask without a pause."""
    rows, end = ali_ccp_shape.rows(ROWS), time.perf_counter() + _SECONDS.value
    counts = [0] * clients

    def fire(i: int) -> None:
        while time.perf_counter() < end:
            ask(rows)
            counts[i] += ROWS

    threads = [threading.Thread(target=fire, args=(i,)) for i in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(ways: Mapping[str, Ask]) -> dict[str, float]:
    """All figures by name."""
    seen: dict[str, list[float]] = {}
    for _ in range(_ROUNDS.value):
        for size in SIZES:
            for way, times in latencies(ways, size).items():
                for p in (50, 99):
                    seen.setdefault(f"{way}/{size}/p{p}", []).append(float(np.percentile(times, p)))
        for clients in CLIENTS:
            for way, ask in ways.items():
                seen.setdefault(f"{way}/rows_per_s/{clients}", []).append(throughput(ask, clients))
    return {name: statistics.median(values) for name, values in seen.items()}


def show(figures: Mapping[str, float], ways: Mapping[str, Ask]) -> None:
    """Both tables."""
    table = Table(
        "rows", *(f"{way} {p}" for way in ways for p in ("p50", "p99")), title="milliseconds"
    )
    for size in SIZES:
        names = (f"{way}/{size}/{p}" for way in ways for p in ("p50", "p99"))
        table.add_row(str(size), *(f"{figures[name]:.2f}" for name in names))
    Console().print(table)
    table = Table("clients", *ways, title=f"rows/s, {ROWS} a request")
    for clients in CLIENTS:
        table.add_row(
            str(clients), *(f"{figures[f'{way}/rows_per_s/{clients}']:,.0f}" for way in ways)
        )
    Console().print(table)


def main(argv: list[str]) -> None:
    """Tables, and a last line of JSON."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory() as directory:
        path = ali_ccp_export.export(pathlib.Path(directory))
        session = SessionModel(path)
        command = [
            sys.executable,
            "-m",
            "tafe_tf.serving.server",
            f"--port={_ADDRESS.value.split(':')[1]}",
        ]
        server = subprocess.Popen(
            [*command, f"--model_base_path={path.parent}"], stderr=subprocess.DEVNULL
        )
        try:
            with Client(_ADDRESS.value, timeout=60.0) as client:
                while server.poll() is None:  # until it listens
                    try:
                        client.status()
                        break
                    except RuntimeError:
                        time.sleep(0.5)
                ways: dict[str, Ask] = {
                    "session": session,
                    "gRPC": client.predict,
                }
                for ask in ways.values():
                    ask(ali_ccp_shape.rows(1))
                figures = measure(ways)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    show(figures, ways)
    figures["overhead_1_row_ms"] = figures["gRPC/1/p50"] - figures["session/1/p50"]
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    app.run(main)
