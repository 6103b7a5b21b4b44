"""A block of ASRG, eq. 14-20."""

from __future__ import annotations

import numpy as np
import pytest
from layer_calls import build, call
from registry import LAYERS, D, F, K, M
from twins import tafe as twin

from tafe_tf.layers import ASRG


@pytest.mark.parametrize("name", ["first block", "later block"])
def test_block_is_equations_14_to_20(name: str) -> None:
    case = LAYERS[name]
    layer = build(case, dtype="float64")
    h, gamma = case.arguments
    p = twin.values(twin.block_variables(layer))
    z = twin.select(p, h, gamma)
    assert {0.0, 1.0} & set(z.flat) and ((z > 0) & (z < 1)).any()
    residual = "input" if name == "later block" else "query"
    want = twin.block(p, h, gamma, M, residual)
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-10, atol=1e-12)


def test_gamma_may_be_a_number() -> None:
    layer = build(LAYERS["first block"])
    h, gamma = LAYERS["first block"].arguments
    np.testing.assert_array_equal(layer(h, gamma=gamma), call(layer, (h, gamma)))


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"`residual` must be 'input' or 'query'\. Received: residual='none'"
    ):
        ASRG(K, M, residual="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"residual='input' needs 3 input rows\. .*\(None, 5, 6\)"):
        ASRG(K, M).build((None, F, D))
