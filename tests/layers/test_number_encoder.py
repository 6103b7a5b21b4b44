"""Numbers and vectors as rows of H, against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layer_calls import build, call
from registry import LAYERS
from scipy.special import softmax

from tafe_tf.layers import NumberEncoder, VectorEncoder
from tafe_tf.layers.parts import Parts

CLOSE: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}


def weights(layer: Any) -> dict[str, np.ndarray]:
    return {variable.name: np.array(variable) for variable in layer.weights}


def test_linear() -> None:
    case = LAYERS["numbers"]
    layer = build(case, dtype="float64")
    (z,) = case.arguments
    own = weights(layer)
    want = z[..., None] * own["slope"] + own["bias"]
    want = np.where(np.isnan(z)[..., None], own["missing"], want)
    found = call(layer, case.arguments, "float64")
    assert np.isnan(z).any() and np.isfinite(want).all()
    np.testing.assert_allclose(found, want, **CLOSE)


def test_autodis_is_that_of_the_paper_with_a_bias() -> None:
    case = LAYERS["numbers by AutoDis"]
    layer = build(case, dtype="float64")
    (z,) = case.arguments
    own = weights(layer)
    want = np.zeros((*z.shape, layer.dim))
    for b, j in np.ndindex(z.shape):
        if np.isnan(z[b, j]):
            want[b, j] = own["missing"][j]
            continue
        hidden = z[b, j] * own["kernel"][j] + own["bias"][j]
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
        logits = hidden @ own["mix"][j] + 0.8 * hidden
        want[b, j] = softmax(logits) @ own["meta"][j]
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, **CLOSE)


def test_vectors() -> None:
    case = LAYERS["vectors"]
    layer = build(case, dtype="float64")
    (x,) = case.arguments
    own = weights(layer)
    want = np.nan_to_num(x) @ own["projection"] + own["bias"]
    want[np.isnan(x).any(axis=1)] = own["missing"]
    assert np.isnan(x).any() and not np.isnan(x).all(axis=1).all()
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, **CLOSE)


def test_what_they_read() -> None:
    numbers = np.arange(8.0).reshape(2, 4)
    vectors = np.arange(12.0).reshape(2, 6)
    parts = Parts(looked=(), numbers=numbers, vectors=vectors)
    read = NumberEncoder(3, count=2, first=1).reads(parts)
    np.testing.assert_array_equal(read, numbers[:, 1:3])
    read = VectorEncoder(3, length=2, first=4).reads(parts)
    np.testing.assert_array_equal(read, vectors[:, 4:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: NumberEncoder(4, 1, embedding="cubic"),  # type: ignore[arg-type]
            r"`embedding` must be one of .*'autodis'.*Received: 'cubic'",
        ),
        (
            lambda: NumberEncoder(4, 0),
            r"`dim`, `count` and `buckets` must be 1 or more\. Received: dim=4, count=0",
        ),
        (lambda: VectorEncoder(4, 0), r"must be 1 or more\. Received: dim=4, length=0"),
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
