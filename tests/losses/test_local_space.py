"""Theorems 2.1 and 3.1 on a population small enough to enumerate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tafe_tf.losses import local_space_dependence_weight, local_space_weight

# A population: x in five values, P(x), P(Y = 1 | x) and P(Z = 1 | x), with Z = 1 only where Y = 1.
P_X = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
F_Y = np.array([0.9, 0.5, 0.2, 0.05, 0.7])
F_Z = np.array([0.3, 0.45, 0.01, 0.02, 0.1])
CELLS = [(0, 0, P_X * (1 - F_Y)), (1, 0, P_X * (F_Y - F_Z)), (1, 1, P_X * F_Z)]  # y, z, P(x, y, z)
PRIOR = float(np.sum(P_X * F_Y))  # P(Y = 1)
Q_Y = np.array([0.6, 0.55, 0.35, 0.15, 0.5])  # what some model says
Q_Z = np.array([0.2, 0.5, 0.05, 0.1, 0.3])

Loss = Callable[[np.ndarray, int], np.ndarray]
LOSSES: dict[str, Loss] = {
    "square": lambda prediction, label: (prediction - label) ** 2,
    "skewed": lambda prediction, label: np.exp(prediction) if label else 9 * np.abs(prediction) + 1,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def expectation(value: Callable[[int, int], Any], local: bool) -> float:
    """Mean of value(y, z), an array over x, over the entire or the local space (Y = 1)."""
    cells = [(y, z, p / PRIOR) for y, z, p in CELLS if y == 1] if local else CELLS
    assert abs(sum(p.sum() for _, _, p in cells) - 1) < 1e-15
    return float(sum(np.sum(p * np.asarray(value(y, z))) for y, z, p in cells))


@every_loss
def test_theorem_2_1(loss: Loss) -> None:
    entire = expectation(lambda y, z: loss(Q_Z, z), local=False)
    weighted = expectation(
        lambda y, z: local_space_weight(F_Y, F_Z, np.full(5, z), PRIOR) * loss(Q_Z, z), local=True
    )
    assert abs(weighted - entire) < 1e-12
    assert (
        abs(expectation(lambda y, z: loss(Q_Z, z), local=True) - entire) > 0.01
    )  # the bias that it removes


@every_loss
def test_theorem_3_1(loss: Loss) -> None:
    entire = expectation(lambda y, z: loss(Q_Y - Q_Z, y - z), local=False)
    weighted = expectation(
        lambda y, z: (
            local_space_dependence_weight(F_Y, F_Z, np.full(5, y - z), PRIOR)
            * loss(Q_Y - Q_Z, y - z)
        ),
        local=True,
    )
    assert abs(weighted - entire) < 1e-12
    assert abs(expectation(lambda y, z: loss(Q_Y - Q_Z, y - z), local=True) - entire) > 0.01
