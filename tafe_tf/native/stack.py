"""TAFE's blocks and adapters as the kernel's operations, for models that it can stand for."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tafe_tf import machine
from tafe_tf.models import TAFE
from tafe_tf.native import library
from tafe_tf.native.library import Library, Mode


class Stack:
    """Computes T from H as `TAFE.represent` does, by the kernel.

    Args:
        model: A model that `reason_against` has nothing against.
        library: The built kernel.
    """

    def __init__(self, model: TAFE, library: Library) -> None:
        self._operations = library.operations
        self._weights = weights_of(model)
        self._sizes = {**sizes_of(model), "threads": machine.threads()}

    def __call__(self, h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        """Computes T: [B, F, d] -> [B, N, d]."""
        flat = [tf.reshape(tf.convert_to_tensor(weight), [-1]) for weight in self._weights]
        represent = self._learn if training else self._score
        t = represent(h, gamma, tf.concat(flat, axis=0))
        return tf.ensure_shape(t, [None, self._sizes["tasks"], self._sizes["dim"]])

    def _score(self, h: tf.Tensor, gamma: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return self._operations.tafe_score(h=h, gamma=gamma, weights=weights, **self._sizes)

    def _learn(self, h: tf.Tensor, gamma: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def represent(h: tf.Tensor, weights: tf.Tensor) -> Any:
            t, saved = self._operations.tafe_forward(
                h=h, gamma=gamma, weights=weights, **self._sizes
            )

            def gradients(d_t: tf.Tensor) -> Any:
                return self._operations.tafe_backward(
                    gamma=gamma,
                    weights=weights,
                    saved=saved,
                    d_t=d_t,
                    **_without_layers(self._sizes),
                )

            return t, gradients

        return represent(h, weights)


def _without_layers(sizes: dict[str, Any]) -> dict[str, Any]:
    """The sizes of an operation that finds the number of layers by that of `saved`."""
    return {name: size for name, size in sizes.items() if name != "layers"}


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
    if keras.backend.backend() != "tensorflow":
        return f"it has no operations for Keras's {keras.backend.backend()} backend"
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
        if mode == "on":
            raise ValueError(f"--native=on: the native kernel cannot be used: {reason}")
        return f"stock layers; the native kernel is not used: {reason}"
    model.native = Stack(model, kernel)
    return f"native kernel for {kernel.target}, {machine.threads()} threads"
