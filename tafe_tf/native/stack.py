"""TAFE's blocks and adapters as the kernel's operations, for models that it can stand for."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import keras
from keras import ops

from tafe_tf import machine
from tafe_tf.models import TAFE
from tafe_tf.native import library
from tafe_tf.native.library import Library, Mode
from tafe_tf.types import Tensor


class Stack:
    """Computes T from H as `TAFE.represent` does, by the kernel.

    Args:
        model: A model that `reason_against` has nothing against.
        library: The built kernel.
    """

    def __init__(self, model: TAFE, library: Library) -> None:
        self._weights = weights_of(model)
        sizes = {**sizes_of(model), "threads": machine.threads()}
        self._calls = calls_of_backend().Calls(library, sizes)

    def __call__(self, h: Tensor, gamma: Tensor, training: bool) -> Tensor:
        """Computes T: [B, F, d] -> [B, N, d]."""
        flat = [ops.reshape(weight, (-1,)) for weight in self._weights]
        weights = ops.concatenate(flat, axis=0)
        represent = self._calls.learn if training else self._calls.score
        return represent(h, gamma, weights)


def calls_of_backend() -> ModuleType:
    """The module that calls the kernel from Keras's backend: nothing else imports a framework."""
    return importlib.import_module(f"tafe_tf.native.{keras.backend.backend()}_calls")


def sizes_of(model: TAFE) -> dict[str, Any]:
    """What the kernel's operations must know of a model: its sizes, and the norms' epsilon."""
    block = model.blocks[0]
    return {
        "fields": model.num_fields,
        "inducing": block.num_inducing,
        "heads": block.attention.num_heads,
        "dim": model.embedding_dim,
        "tasks": model.num_tasks,
        "layers": len(model.blocks),
        "epsilon": block.norm.epsilon,
    }


def weights_of(model: TAFE) -> list[keras.Variable]:
    """The weights of all blocks and adapters, in the kernel's order (`kernel/sizes.h`)."""
    weights = []
    for block, adapter in zip(model.blocks, model.adapters, strict=True):
        projection = block.selector.projection
        attention = block.attention
        weights += [
            projection.kernel,
            projection.bias,
            attention.inducing_points,
            attention.key,
            attention.value,
            attention.output_projection,
            block.norm.gamma,
            block.norm.beta,
            adapter.indicators,
            adapter.key,
            adapter.value,
            adapter.output_projection,
            adapter.scale,
            adapter.shift,
        ]
    return weights


def reason_against(model: keras.Model) -> str:
    """Why the kernel cannot stand for a model's layers on any machine; "" if it can."""
    backend = keras.backend.backend()
    if backend not in library.BACKENDS:
        return f"it has no operations for Keras's {backend} backend"
    if not isinstance(model, TAFE) or type(model).represent is not TAFE.represent:
        return "it computes TAFE alone"
    given = model.arguments
    for name, part in (("use_asrg", "ASRG"), ("use_tsa", "TSA")):
        if not given[name]:
            return f"it does not compute TAFE without {part}"
    if given["selector_hidden"]:
        return "its selectors have no hidden layers"
    if model.compute_dtype != "float32" or model.variable_dtype != "float32":
        return f"it computes in float32, not in {model.dtype_policy.name}"
    epsilons = {block.norm.epsilon for block in model.blocks}
    epsilons.update(adapter.epsilon for adapter in model.adapters)
    if len(epsilons) > 1:
        return "its norms have one epsilon"
    return ""


def use(model: keras.Model, mode: Mode = "auto", *, servers: int = 0) -> str:
    """Lets a model compute by the kernel where that is possible.

    Args:
        model: Any model of `tafe_tf.models`.
        mode: "auto" uses the kernel where it was built and applies, "off" leaves the layers, and
            "on" raises an error instead. The default is "auto".
        servers: Number of parameter servers; 0 by default.

    Returns:
        One line for the log, which says how the model computes.

    Raises:
        ValueError: If the mode is "on" and the kernel cannot be used.
    """
    model.native = None
    if mode == "off":
        return "stock layers (--native=off)"
    reason = reason_against(model) or library.reason_against_machine()
    if servers and not reason:
        reason = "the tasks of parameter servers have not loaded it"
    kernel = None if reason else library.load()
    if kernel is None:
        return library.way_without(mode, reason, "stock layers")
    model.native = Stack(model, kernel)
    return f"native kernel for {kernel.target}, {machine.threads()} threads"
