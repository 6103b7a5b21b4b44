"""Towers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tafe_tf.layers import Towers


def test_towers_start_as_glorot_does() -> None:
    """Each tower for itself: the spread of a kernel does not depend on how many there are."""
    keras.utils.set_random_seed(0)
    for count in (1, 16):
        towers = Towers(count, [300])
        towers.build((None, 200))
        kernel = towers.kernels[0].numpy()
        assert kernel.std() == pytest.approx(np.sqrt(2.0 / 500), rel=0.02)
