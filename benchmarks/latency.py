"""Milliseconds of a request to the exported model in a session, without gRPC: raw columns in, every output back.

python -m benchmarks.latency [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, 1 and 100 rows a request, one after the other.
"""

from __future__ import annotations

import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from benchmarks import ali_ccp_shape, rounds
from export.session import SessionModel

_MODELS = flags.DEFINE_spaceseplist("models", ["tafe"], "MODEL or MODEL/ARGUMENT=VALUE/...")
SIZES = (1, 100)
PEER_KEYS = {f"b{size}_{p}_ms": f"latency_b{size}.{p}_ms" for size in SIZES for p in ("p50", "p99")}


def served(spec: str, directory: pathlib.Path) -> rounds.Measure:
    """Measures one model."""
    session = SessionModel(ali_ccp_shape.export(directory, spec, ali_ccp_shape.ALL_FIELDS))
    requests = {size: ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS) for size in SIZES}

    def measure() -> rounds.Figures:
        figures = {}
        for size in SIZES:
            times = _times(session, requests[size])
            for p in (50, 99):
                figures[f"b{size}_p{p}_ms"] = float(np.percentile(times, p))
        return figures

    return measure


def _times(session: SessionModel, request: dict[str, np.ndarray]) -> list[float]:
    for _ in range(30):
        session(request)
    times, end = [], time.perf_counter() + rounds.SECONDS.value
    while (began := time.perf_counter()) < end:
        session(request)
        times.append(1e3 * (time.perf_counter() - began))
    return times


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(1)  # as a process that only serves has it
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        ways = {spec: served(spec, pathlib.Path(directory) / str(i)) for i, spec in enumerate(_MODELS.value)}
        seen = rounds.run(ways, PEER_KEYS)
    rounds.show(seen, "milliseconds a request")


if __name__ == "__main__":
    app.run(main)
