"""Measures what a log of 1 % of the calls costs a client, at 100 rows a call.

    python -m benchmarks.request_log_cost [--seconds=4] [--rounds=5] [--sample=0.01]

Ali-CCP's 18 fields and an untrained TAFE in the local server, in another process. Two clients ask
in turn, call by call: one logs, the other does not. A third does not log either, so that its ratio
shows what the machine's noise is. Prints the medians and the 99th percentiles in milliseconds,
their ratios, and a line of JSON.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping

import numpy as np
from absl import flags

from benchmarks.support import ali_ccp_export, ali_ccp_shape, local_server, rounds
from tafe_tf.serving.client import Client
from tafe_tf.serving.request_log import RequestLog
from tafe_tf.terminal import command

_SAMPLE = flags.DEFINE_float(
    "sample", 0.01, "The share of calls that are logged, above 0 and at most 1."
)

ROWS = 100  # of a call
WARM_UP = 50  # calls of each client


def measure(clients: Mapping[str, Client], seconds: float) -> dict[str, list[float]]:
    """Asks in turn for some seconds; returns the milliseconds of each call, by client.

    Who is first changes with each turn, since whoever asks after a pause waits longer.
    """
    request = ali_ccp_shape.rows(ROWS)
    seen: dict[str, list[float]] = {name: [] for name in clients}
    orders = itertools.cycle(itertools.permutations(clients))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name in next(orders):
            began = time.perf_counter()
            clients[name].predict(request)
            seen[name].append(1e3 * (time.perf_counter() - began))
    return seen


def main(argv: list[str]) -> None:
    """Measures, and prints the ratios."""
    command.only_flags(argv)
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        version = ali_ccp_export.export(root)
        log = RequestLog(root / "served", sample=_SAMPLE.value)
        with local_server.served(version.parent, "ali", root / "server.log") as server:
            clients = {
                "plain": Client(server.grpc, "ali"),
                "again": Client(server.grpc, "ali"),
                "logging": Client(server.grpc, "ali", log=log),
            }
            for client in clients.values():
                for _ in range(WARM_UP):
                    client.predict(ali_ccp_shape.rows(ROWS))
            for number in range(rounds.ROUNDS.value):
                seen = measure(clients, 3 * rounds.SECONDS.value)
                print(f"round {number + 1}: {len(seen['plain']):,} calls each", flush=True)
                for name, times in seen.items():
                    for p in (50, 99):
                        of_round = float(np.percentile(times, p))
                        figures.setdefault(f"{name}_p{p}_ms", []).append(of_round)
            for client in clients.values():
                client.close()
        log.close()
    for name in ("again", "logging"):
        pairs = zip(figures[f"{name}_p50_ms"], figures["plain_p50_ms"], strict=True)
        figures[f"{name}_over_plain_p50"] = [ours / plain for ours, plain in pairs]
    for name, values in figures.items():
        print(f"{name:24} {statistics.median(values):.4f} ({min(values):.4f}-{max(values):.4f})")
    print(f"records written: {log.written:,}; dropped: {log.dropped:,}")
    medians = {name: round(statistics.median(values), 4) for name, values in figures.items()}
    print(json.dumps({**medians, "written": log.written, "dropped": log.dropped}))


if __name__ == "__main__":
    command.run(main)
