"""The kernel called from TensorFlow."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.models import TAFE
from tafe_tf.native.library import Library

in_float64 = contextlib.nullcontext  # TensorFlow has it at all times


class Calls:
    """The kernel's operations for one model.

    Args:
        library: The built kernel.
        sizes: The operations' attributes.
    """

    def __init__(self, library: Library, sizes: dict[str, Any]) -> None:
        self._operations = library.operations
        self._sizes = sizes

    def score(self, h: tf.Tensor, gamma: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes T without what its gradients need: [B, F, d] -> [B, N, d]."""
        t = self._operations.tafe_score(h=h, gamma=gamma, weights=weights, **self._sizes)
        return self._shaped(t)

    def learn(self, h: tf.Tensor, gamma: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes T, with gradients of H and of the weights."""

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

        return self._shaped(represent(h, weights))

    def _shaped(self, t: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(t, [None, self._sizes["tasks"], self._sizes["dim"]])


def _without_layers(sizes: dict[str, Any]) -> dict[str, Any]:
    """The sizes of an operation that finds the number of layers by that of `saved`."""
    return {name: size for name, size in sizes.items() if name != "layers"}


def loss_and_gradients(model: TAFE, ids: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """The model's own loss of a batch in training, and the gradients of all its weights."""
    loss_of = model.paper_loss()
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = model(ids, training=True)
        loss = loss_of(tf.cast(labels, logits.dtype), logits)
    gradients: list[Any] = tape.gradient(loss, [variable.value for variable in variables])
    return [tf.convert_to_tensor(array).numpy() for array in (loss, *gradients)]
