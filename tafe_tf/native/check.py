"""Whether a built kernel computes what the layers compute, in their float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.models import TAFE
from tafe_tf.native.library import Library
from tafe_tf.native.stack import Stack

TOLERANCE = 2e-6  # of the largest number that is compared


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of a model and of a batch, in the paper's letters."""

    rows: int  # B
    fields: int  # F
    inducing: int  # K
    heads: int  # M
    dim: int  # d
    tasks: int  # N
    layers: int  # L


# The paper's sizes, and such as no vector and no tile divides.
CASES = (
    Case(rows=70, fields=23, inducing=64, heads=2, dim=18, tasks=2, layers=4),
    Case(rows=1, fields=3, inducing=4, heads=2, dim=4, tasks=2, layers=1),
    Case(rows=33, fields=2, inducing=9, heads=3, dim=9, tasks=1, layers=3),
    Case(rows=5, fields=30, inducing=17, heads=5, dim=10, tasks=4, layers=2),
)


class CheckError(Exception):
    """The kernel does not compute what the layers compute."""


def check(library: Library) -> dict[str, float]:
    """Compares the loss and all gradients of some models with those of the layers.

    Args:
        library: The built kernel.

    Returns:
        For each target that this machine can run, the largest difference, as a share of the largest
        number compared.

    Raises:
        CheckError: If a difference exceeds `TOLERANCE`.
    """
    worst: dict[str, float] = {}
    for target in library.targets():
        library.use_target(target)
        for case in CASES:
            difference = largest_difference(library, case)
            worst[target] = max(worst.get(target, 0.0), difference)
            if not difference <= TOLERANCE:
                raise CheckError(
                    f"the kernel for {target} differs from the layers by {difference:.1e} of the "
                    f"largest number, which may be {TOLERANCE:.0e}, in a model of {case}"
                )
    library.use_target(library.targets()[0])
    return worst


def largest_difference(library: Library, case: Case, seed: int = 0) -> float:
    """How far the kernel's loss and gradients are from those of the layers in float64.

    Args:
        library: The built kernel.
        case: The model's and the batch's sizes.
        seed: Of the weights and of the batch; 0 by default.

    Returns:
        The largest difference of loss, gradients of H and of all weights, each as a share of the
        largest gradient.
    """
    rng = np.random.default_rng(seed)
    exact = _model(case, "float64")
    for variable in exact.trainable_variables:
        variable.assign(variable + rng.normal(0.0, 0.3, variable.shape))
    ours = _model(case, "float32")
    ours.set_weights(exact.get_weights())
    ours.native = Stack(ours, library)
    ids = rng.integers(0, _FIELD_ROWS, (case.rows, case.fields))
    labels = np.cumprod(rng.random((case.rows, case.tasks)) < 0.5, axis=1)
    expected = _loss_and_gradients(exact, ids, labels)
    found = _loss_and_gradients(ours, ids, labels)
    scale = max(float(np.abs(gradient).max()) for gradient in expected)
    differences = []
    for our_gradient, gradient in zip(found, expected, strict=True):
        differences.append(float(np.abs(our_gradient - gradient).max()))
    return max(differences) / scale


_FIELD_ROWS = 11


def _model(case: Case, dtype: str) -> TAFE:
    return TAFE(
        [_FIELD_ROWS] * case.fields,
        case.tasks,
        embedding_dim=case.dim,
        num_inducing=case.inducing,
        num_heads=case.heads,
        num_layers=case.layers,
        dtype=dtype,
    )


def _loss_and_gradients(model: TAFE, ids: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    loss_of = model.paper_loss()
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = model(ids, training=True)
        loss = loss_of(tf.cast(labels, logits.dtype), logits)
    gradients: list[Any] = tape.gradient(loss, [variable.value for variable in variables])
    dense = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    return [keras.ops.convert_to_numpy(loss), *dense]
