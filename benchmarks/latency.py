"""Milliseconds of a request to the exported model in a session, without gRPC: raw columns in, every output back.

python -m benchmarks.latency [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, 1 and 100 rows a request, one after the other.
"""

from __future__ import annotations

import functools
import time

import numpy as np
from absl import app

from benchmarks.support import ali_ccp_shape, exported, rounds
from tafe_tf.export.session_model import SessionModel

SIZES = (1, 100)


def measure(session: SessionModel) -> rounds.Figures:
    """Percentiles by size."""
    figures = {}
    for size in SIZES:
        times = _times(session, ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS))
        for p in (50, 99):
            figures[f"b{size}_p{p}_ms"] = float(np.percentile(times, p))
    return figures


def _times(session: SessionModel, request: dict[str, np.ndarray]) -> list[float]:
    for _ in range(30):
        session(request)
    times, end = [], time.perf_counter() + rounds.SECONDS.value
    while (began := time.perf_counter()) < end:
        session(request)
        times.append(1e3 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    keys = {f"b{size}_{p}_ms": f"latency_b{size}.{p}_ms" for size in SIZES for p in ("p50", "p99")}
    app.run(
        functools.partial(
            exported.compare, measure=measure, peer_keys=keys, title="milliseconds a request"
        )
    )
