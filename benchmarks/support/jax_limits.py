"""What the device itself can do: its products of matrices, exponentials and copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

_REPEATS = 5
_IN_A_CALL = 10


def measure(device: jax.Device) -> dict[str, float]:
    """Measures the device's limits, the best of five calls each.

    Args:
        device: The device. On a CPU the arrays are smaller.

    Returns:
        In 10^12 operations a second, products of float32 matrices with the default precision and
        with the highest one, and of bfloat16 matrices; 10^9 exponentials a second; and 10^9 bytes
        that a copy reads and writes a second.
    """
    is_cpu = device.platform == "cpu"
    size = 512 if is_cpu else 8192
    count = 1 << (22 if is_cpu else 28)
    with jax.default_device(device):
        square = jnp.full((size, size), 1.0 / size)
        line = jnp.full(count, 0.5)
        line_bytes = 2.0 * line.nbytes  # read and written
        flop = 2.0 * size**3
        return {
            "product_default_tflops": _product(square, "default", flop),
            "product_highest_tflops": _product(square, "highest", flop),
            "product_bfloat16_tflops": _product(square.astype("bfloat16"), "default", flop),
            "exponentials_g": count / _seconds(lambda x: jnp.exp(-x), line) / 1e9,
            "copy_gb": line_bytes / _seconds(lambda x: x + 1.0, line) / 1e9,
        }


def _product(square: jax.Array, precision: str, flop: float) -> float:
    return flop / _seconds(lambda x: jnp.matmul(x, square, precision=precision), square) / 1e12


def _seconds(function: Callable[[Any], Any], x: jax.Array) -> float:
    """Seconds that a function takes when it is applied again and again to its own result."""

    @jax.jit
    def call(x: jax.Array) -> jax.Array:
        # A barrier keeps XLA from making one pass of several.
        def again(_: int, x: jax.Array) -> jax.Array:
            return jax.lax.optimization_barrier(function(x))

        return jax.lax.fori_loop(0, _IN_A_CALL, again, x)

    call(x).block_until_ready()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        call(x).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return min(seconds) / _IN_A_CALL
