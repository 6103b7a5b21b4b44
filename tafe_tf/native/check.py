"""Whether a built kernel computes what the layers compute, in their float64."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.models import TAFE
from tafe_tf.native.library import Library
from tafe_tf.native.stack import Stack, calls_of_backend

# How far the kernel may be off beside twice what the layers are off in float32, as a share of the
# largest number that is compared.
TOLERANCE = 2e-6


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
CASES: tuple[Case, ...] = (
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
        CheckError: If the kernel is further off than float32 explains, see `TOLERANCE`.
    """
    targets = library.targets()
    worst = dict.fromkeys(targets, 0.0)
    for case in CASES:
        with calls_of_backend().in_float64():
            exact = _exact(case)
            rounding = _largest_difference(None, case, exact)
            allowed = 2.0 * rounding + TOLERANCE
            for target in targets:
                library.use_target(target)
                difference = _largest_difference(library, case, exact)
                worst[target] = max(worst[target], difference)
                if not difference <= allowed:
                    raise CheckError(
                        f"the kernel for {target} differs from the layers by {difference:.1e} of "
                        f"the largest number, which may be {allowed:.1e}, in a model of {case}"
                    )
    library.use_target(targets[0])
    return worst


@dataclasses.dataclass(frozen=True)
class _Exact:
    """A batch, and what the layers make of it in float64: the loss and all gradients."""

    weights: list[np.ndarray]
    ids: np.ndarray
    labels: np.ndarray
    expected: list[np.ndarray]


def _exact(case: Case) -> _Exact:
    rng = np.random.default_rng(0)
    model = _model(case, "float64")
    for variable in model.trainable_variables:
        mean = np.round(np.mean(variable))  # 1 of the norms' scales, and 0
        variable.assign(rng.normal(mean, 0.3, variable.shape))
    ids = rng.integers(0, _FIELD_ROWS, (case.rows, case.fields))
    labels = np.cumprod(rng.random((case.rows, case.tasks)) < 0.5, axis=1)
    expected = calls_of_backend().loss_and_gradients(model, ids, labels)
    return _Exact(model.get_weights(), ids, labels, expected)


def _largest_difference(library: Library | None, case: Case, exact: _Exact) -> float:
    """How far loss and gradients are off, as a share of the largest gradient.

    They are the kernel's, or without one the layers' in float32.
    """
    model = _model(case, "float32")
    model.set_weights(exact.weights)
    if library is not None:
        model.native = Stack(model, library)
    found = calls_of_backend().loss_and_gradients(model, exact.ids, exact.labels)
    scale = max(float(np.abs(gradient).max()) for gradient in exact.expected)
    differences = []
    for ours, theirs in zip(found, exact.expected, strict=True):
        differences.append(float(np.abs(ours - theirs).max()))
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
