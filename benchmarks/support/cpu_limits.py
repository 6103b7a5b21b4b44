"""What the processor itself can do: its products of matrices, exponentials and copies."""

from __future__ import annotations

import os
import pathlib
import platform
import time
from collections.abc import Callable

import numpy as np

_REPEATS = 5
_SIDE = 2048  # of the matrices
_COUNT = 1 << 24  # numbers of a vector, 64 MiB
_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def measure() -> dict[str, float]:
    """Measures the processor's limits with NumPy, the best of five calls each.

    Returns:
        10^9 operations a second of a product of float32 matrices on all cores, 10^9 exponentials a
        second on one core, and 10^9 bytes that a copy reads and writes a second on one core.
    """
    square = np.full((_SIDE, _SIDE), 1.0 / _SIDE, np.float32)
    line = np.full(_COUNT, 0.5, np.float32)
    copy = np.empty_like(line)
    operations = 2.0 * _SIDE**3
    bytes_moved = 2.0 * line.nbytes
    return {
        "product_gflops": operations / _seconds(lambda: square @ square) / 1e9,
        "exponentials_g": _COUNT / _seconds(lambda: np.exp(line, out=copy)) / 1e9,
        "copy_gb": bytes_moved / _seconds(lambda: np.copyto(copy, line)) / 1e9,
    }


def line() -> str:
    """A line for people: which processor, and what it can do."""
    limits = measure()
    product = limits["product_gflops"]
    exponentials = limits["exponentials_g"]
    copies = limits["copy_gb"]
    on_one = f"on one, exponentials {exponentials:.2f} G/s and copies {copies:.0f} GB/s"
    return f"{name()}, {os.cpu_count()} cores: products {product:,.0f} GFLOP/s on all; {on_one}"


def name() -> str:
    """The processor's name as `lscpu` gives it, or the platform's where there is no such file."""
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _seconds(function: Callable[[], object]) -> float:
    """The least time of a call."""
    times = []
    for _ in range(_REPEATS + 1):  # the first one warms up
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times[1:])
