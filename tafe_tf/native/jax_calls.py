"""The kernel called from JAX on a CPU, by XLA's foreign function interface."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from tafe_tf.models import TAFE
from tafe_tf.native.library import Library

in_float64 = functools.partial(jax.enable_x64, True)


class Calls:
    """The kernel's functions for one model.

    Args:
        library: The built kernel.
        sizes: The functions' attributes.
    """

    def __init__(self, library: Library, sizes: dict[str, Any]) -> None:
        self._library = library
        self._sizes = sizes
        self._attributes = {
            name: np.float32(size) if name == "epsilon" else np.int32(size)
            for name, size in sizes.items()
        }
        self.learn = jax.custom_vjp(self.score)
        self.learn.defvjp(self._forward, self._backward)

    def score(self, h: jax.Array, gamma: jax.Array, weights: jax.Array) -> jax.Array:
        """Computes T without what its gradients need: [B, F, d] -> [B, N, d]."""
        t: jax.Array = self._call("TafeScore", self._shape_of_t(h), h, gamma, weights)
        return t

    def _forward(self, h: jax.Array, gamma: jax.Array, weights: jax.Array) -> Any:
        """Computes T, and what its gradients need."""
        rows = h.shape[0]
        results = [self._shape_of_t(h)]
        for layer in range(self._sizes["layers"]):
            count = self._library.count_saved(self._sizes, layer, rows)
            results.append(_floats(count))
        t, *saved = self._call("TafeForward", results, h, gamma, weights)
        return t, (gamma, weights, saved)

    def _backward(self, kept: Any, d_t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Computes the gradients of H and of the weights; gamma follows a schedule and has none."""
        gamma, weights, saved = kept
        h = _floats(d_t.shape[0], self._sizes["fields"], self._sizes["dim"])
        results = [h, _floats(*weights.shape)]
        d_h, d_weights = self._call("TafeBackward", results, gamma, weights, d_t, *saved)
        return d_h, jnp.zeros_like(gamma), d_weights

    def _shape_of_t(self, h: jax.Array) -> jax.ShapeDtypeStruct:
        return _floats(h.shape[0], self._sizes["tasks"], self._sizes["dim"])

    def _call(self, function: str, results: Any, *arguments: jax.Array) -> Any:
        name = _registered(self._library, function)
        return jax.ffi.ffi_call(name, results)(*arguments, **self._attributes)


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@functools.cache
def _registered(library: Library, function: str) -> str:
    """Makes a function known to XLA, and returns its name there."""
    name = f"{function} of {library.path}"
    capsule = jax.ffi.pycapsule(library.function(function))
    jax.ffi.register_ffi_target(name, capsule, platform="cpu")
    return name


def loss_and_gradients(model: TAFE, ids: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """The model's own loss of a batch in training, and the gradients of all its weights."""
    loss_of = model.paper_loss()
    others = [variable.value for variable in model.non_trainable_variables]

    @jax.jit
    @jax.value_and_grad
    def differentiated(weights: list[jax.Array]) -> jax.Array:
        logits, _ = model.stateless_call(weights, others, ids, training=True)
        loss: jax.Array = loss_of(jnp.asarray(labels, logits.dtype), logits)
        return loss

    loss, gradients = differentiated([variable.value for variable in model.trainable_variables])
    return [np.asarray(array) for array in (loss, *gradients)]
