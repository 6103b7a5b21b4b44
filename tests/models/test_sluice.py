"""Sluice networks: the penalty, the starts and the errors; twins are in `test_models.py`."""

from __future__ import annotations

import numpy as np
import pytest
from registry import make, randomize
from twins.baselines import sluice_penalty

from tafe_tf.models import SluiceNetwork

ROWS = [4, 3, 5]
IDS = np.array([[1, 2, 4], [3, 0, 0], [2, 1, 3]])


@pytest.mark.parametrize("subspaces", [1, 2, 3])
def test_the_penalty_is_that_of_the_twin_whatever_the_batch(subspaces: int) -> None:
    model = make("sluice", ROWS, 3, num_subspaces=subspaces, dtype="float64")
    randomize(model)
    expected = sluice_penalty(model)
    assert (expected > 0) == (subspaces > 1)
    assert float(model.penalty()) == pytest.approx(expected, rel=1e-12)
    for rows in (1, 3):
        model(IDS[:rows], training=True)
        (loss,) = model.losses
        assert float(loss) == pytest.approx(0.1 * expected, rel=1e-12)
    model.pieces = 2
    model(IDS, training=True)
    assert float(sum(model.losses)) == pytest.approx(0.1 * expected, rel=1e-12)
    model(IDS)
    assert model.losses == []  # of training alone


def test_a_weight_of_0_leaves_the_penalty_out() -> None:
    model = make("sluice", ROWS, 2, orthogonality_weight=0.0)
    model(IDS, training=True)
    assert model.losses == []


def test_alpha_and_beta_start_with_a_bias_to_the_own_subspace_and_the_last_layer() -> None:
    model = make("sluice", ROWS, 3, tower_units=[6, 6, 6])
    for stitch in model.stitches:
        alpha = stitch.alpha.numpy()
        assert alpha.shape == (6, 6)
        np.testing.assert_allclose(np.diag(alpha), 0.9, rtol=1e-6)
        np.testing.assert_allclose(alpha.sum(axis=1), 1.0, rtol=1e-6)
    expected = [[0.05, 0.05, 0.9]] * 3
    np.testing.assert_allclose(model.mixture.beta.numpy(), expected, rtol=1e-6)


def test_subspaces_differ_at_step_0() -> None:
    for level in make("sluice", ROWS, 3).levels:
        units = level.kernels[0].numpy().transpose(0, 2, 1)  # [N, width, in]
        weights = units.reshape(-1, units.shape[2])
        assert len(np.unique(weights, axis=0)) == len(weights)


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"`tower_units` of sluice .* one size, .* tower_units=\[8, 4\]"
    ):
        SluiceNetwork(ROWS, 2, tower_units=[8, 4])
    with pytest.raises(
        ValueError, match=r"`num_subspaces` must divide the width 9 .* num_subspaces=2"
    ):
        SluiceNetwork(ROWS, 2, tower_units=[9])
    with pytest.raises(ValueError, match=r"`num_subspaces` must be 1 or more."):
        SluiceNetwork(ROWS, 2, num_subspaces=0)
    with pytest.raises(ValueError, match=r"`orthogonality_weight` must be 0 or more."):
        SluiceNetwork(ROWS, 2, orthogonality_weight=-1.0)
