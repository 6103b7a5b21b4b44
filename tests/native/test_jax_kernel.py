"""The native kernel on JAX, in a process without TensorFlow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from without_tensorflow import run_module

from tafe_tf.native import check, library


@pytest.mark.slow
def test_the_kernel_on_jax_computes_and_trains_as_the_layers_do() -> None:
    try:
        library.compiler()
    except library.BuildError as error:
        pytest.skip(str(error))
    found = json.loads(run_module("native.jax_kernel").splitlines()[-1])
    assert 0 < found["difference"] <= check.TOLERANCE
    assert "`tafe native`" in found["unused"]
    assert found["used"].startswith("native kernel for ")
    np.testing.assert_allclose(found["rows"]["native"], found["rows"]["stock"], atol=2e-6)
    assert found["rows"]["native"] != found["rows"]["stock"]  # not by the layers
    steps = found["steps"]
    np.testing.assert_allclose(steps["native"], steps["stock"], rtol=1e-5)
    assert len(set(steps["native"][:3])) == 3  # it learns
    assert found["no_rows"] == [0, 3, 6]
    assert "H has another shape" in found["wrong"]
