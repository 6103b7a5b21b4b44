"""Measures an exported model in a session in milliseconds a request, without gRPC.

    python -m benchmarks.latency [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, raw columns in and every output back, 1 and 100 rows a request, one request
after the other. Prints a table and a line of JSON with the medians and 99th percentiles in ms.
"""

from __future__ import annotations

import functools
import time

import numpy as np

from benchmarks.support import ali_ccp_shape, exported, rounds
from tafe_tf.export.session_model import SessionModel
from tafe_tf.terminal import command

SIZES = (1, 100)  # rows of a request
PERCENTILES = (50, 99)
WARM_UP = 30  # requests


def measure(session: SessionModel) -> rounds.Figures:
    """Measures the percentiles for each size."""
    figures = {}
    for size in SIZES:
        request = ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS)
        milliseconds = _milliseconds(session, request)
        for p in PERCENTILES:
            figures[f"b{size}_p{p}_ms"] = float(np.percentile(milliseconds, p))
    return figures


def _milliseconds(session: SessionModel, request: dict[str, np.ndarray]) -> list[float]:
    """The time of each request."""
    for _ in range(WARM_UP):
        session(request)
    times = []
    end = time.perf_counter() + rounds.SECONDS.value
    while (began := time.perf_counter()) < end:
        session(request)
        times.append(1e3 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    keys = {}
    for size in SIZES:
        for p in PERCENTILES:
            keys[f"b{size}_p{p}_ms"] = f"latency_b{size}.p{p}_ms"
    main = functools.partial(
        exported.compare,
        measure=measure,
        peer_keys=keys,
        title="milliseconds a request",
    )
    command.run(main)
