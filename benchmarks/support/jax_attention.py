"""Ways to compute the attention of the inducing points on JAX, to find the fastest on a device.

Each has the arguments and the result of `tafe_tf.layers.attention.attend`, and they differ in
whether the scores [B, M K, F], the largest tensors of a step, are written to the device's memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal
from unittest import mock

import jax
from jax import numpy as jnp

from tafe_tf.layers import attention

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

_MULTIPLE = 8  # cuDNN's attention takes no other sizes of a head


def library(queries: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
    """Computes attention by `jax.nn.dot_product_attention`, as XLA compiles it."""
    return _dot_product(queries, keys, values, size=queries.shape[-1], implementation="xla")


def cudnn(queries: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
    """Computes attention by cuDNN's fused kernel, which takes half precision alone."""
    d = queries.shape[-1]
    size = -(-d // _MULTIPLE) * _MULTIPLE
    return _dot_product(queries, keys, values, size=size, implementation="cudnn")


def _dot_product(
    queries: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    size: int,
    implementation: Literal["xla", "cudnn"],
) -> jax.Array:
    """Gives every head the same keys, and pads keys and values with zeros to one size of a head."""
    _, heads, fields, e = values.shape
    batch, rows, d = queries.shape
    points = rows // heads
    q = queries.reshape(batch, heads, points, d)
    q = q.transpose(0, 2, 1, 3)  # [B, K, M, d]
    k = jnp.broadcast_to(keys[:, :, None, :], (batch, fields, heads, d))
    v = values.transpose(0, 2, 1, 3)  # [B, F, M, e]
    mixed: jax.Array = jax.nn.dot_product_attention(
        _padded(q, size),
        _padded(k, size),
        _padded(v, size),
        scale=1.0,
        implementation=implementation,
    )
    mixed = mixed[..., :e]  # [B, K, M, e]
    return mixed.transpose(0, 2, 1, 3)


def _padded(x: jax.Array, size: int) -> jax.Array:
    """Adds zeros at the end of the last dimension."""
    missing = size - x.shape[-1]
    return jnp.pad(x, [(0, 0), (0, 0), (0, 0), (0, missing)])


NATIVE = "native"  # the whole of TAFE by the native kernel, on a CPU, see `tafe_tf.native`
# By name, what computes the attention in training, and in inference.
WAYS: dict[str, tuple[Attend, Attend]] = {
    "layers": (attention.attend_and_learn, attention.attend),
    "recomputed": (jax.checkpoint(attention.attend), attention.attend),
    "library": (library, library),
    "cudnn": (cudnn, cudnn),
    NATIVE: (attention.attend_and_learn, attention.attend),
}
HALF_PRECISION_ALONE = {"cudnn"}


@contextlib.contextmanager
def using(way: str) -> Iterator[None]:
    """Lets the layers that are traced inside compute their attention in one of `WAYS`."""
    learn, infer = WAYS[way]
    with (
        mock.patch.object(attention, "attend_and_learn", learn),
        mock.patch.object(attention, "attend", infer),
    ):
        yield
