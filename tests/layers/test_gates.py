"""Gates of mixtures of experts."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.layers import DSelectKGates


def test_dselect_k_ends_with_k_experts() -> None:
    """Where the smooth steps are saturated, each selector gives all to the expert of its bits."""
    gates = DSelectKGates(1, num_selected=2, entropy_weight=0.5)
    gates.build((None, 1), (None, 8, 3))
    gates.kernel.assign(
        [[[1.0, -1.0, 1.0, -1.0, 1.0, 1.0]]]
    )  # bits 1 0 1 and 0 1 1: experts 5 and 6
    gates.mixing.assign([[[0.0, np.log(3.0)]]])
    np.testing.assert_allclose(
        gates.weights_of(np.ones((1, 1)))[0, 0], [0, 0, 0, 0, 0, 0.25, 0.75, 0], atol=1e-6
    )
    assert float(gates.losses[0]) == pytest.approx(0.0, abs=1e-5)
    gates.kernel.assign(np.zeros((1, 1, 6)))  # every bit even: log 8 a selector
    gates(np.ones((4, 1)), np.ones((4, 8, 3)))
    assert float(gates.losses[-1]) == pytest.approx(0.5 * 2 * np.log(8.0), rel=1e-4)
