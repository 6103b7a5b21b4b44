"""The JAX side of `test_jax_kernel.py`: it builds the kernel for JAX and prints what it found.

difference   the largest one of loss and gradients to the layers, see `tafe_tf.native.check`
unused       what `use` says before the kernel is built
used         what `use` says after it
steps        by way, the loss of each step, and the sum of each variable's squares after them
rows         by way, the logits of one row
no_rows      the shape of T of no rows
wrong        what an H of another shape ends in
"""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import jax
import keras
import numpy as np
from jax import numpy as jnp

from tafe_tf.jax_training import LazyAdam, State, training_step
from tafe_tf.models import TAFE
from tafe_tf.native import check, library, stack

B, FIELDS, STEPS = 37, 5, 3
QUICK_TO_COMPILE = ["-O0"]


def model() -> TAFE:
    keras.utils.set_random_seed(1)
    return TAFE([11] * FIELDS, 3, 6, num_inducing=7, num_heads=3, num_layers=1)


def steps(trained: TAFE) -> list[float]:
    """The losses of some steps, and the sum of squares of each variable after them."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 11, (STEPS, B, FIELDS)).astype(np.int32)
    labels = np.cumprod(rng.random((STEPS, B, 3)) < 0.5, axis=2).astype(np.float32)
    optimizer = LazyAdam(1e-3, epsilon=1e-4)
    state = State.of(trained, optimizer)
    step = jax.jit(training_step(trained, optimizer, trained.paper_loss()), donate_argnums=0)
    found = []
    for i in range(STEPS):
        state, loss = step(state, ids[i], labels[i])
        found.append(float(loss))
    weights = [float(jnp.sum(jnp.square(weight))) for weight in state.weights]
    return found + weights


def found_by(kernel: library.Library) -> dict[str, Any]:
    stock, native = model(), model()
    with mock.patch.object(library, "load", return_value=None):
        unused = stack.use(native)
    with mock.patch.object(library, "load", return_value=kernel):
        used = stack.use(native)
    assert native.native is not None
    ids = np.arange(FIELDS, dtype=np.int32)[None]
    rows = {"stock": stock(ids), "native": native(ids)}
    try:
        native.native(jnp.zeros((4, FIELDS + 1, 6)), 1.0, False)
    except jax.errors.JaxRuntimeError as error:
        wrong = str(error)
    return {
        "unused": unused,
        "used": used,
        "rows": {way: np.asarray(logits).tolist() for way, logits in rows.items()},
        "steps": {"stock": steps(stock), "native": steps(native)},
        "no_rows": native.native(jnp.zeros((0, FIELDS, 6)), 1.0, True).shape,
        "wrong": wrong,
    }


def main() -> None:
    check.CASES = (check.Case(rows=33, fields=2, inducing=9, heads=3, dim=9, tasks=1, layers=2),)
    with library.built(QUICK_TO_COMPILE) as kernel:
        with mock.patch.object(kernel, "targets", return_value=[kernel.target]):
            [difference] = check.check(kernel).values()
        print(json.dumps({"difference": difference, **found_by(kernel)}))


if __name__ == "__main__":
    main()
