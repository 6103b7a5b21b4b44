"""Eq. 17-19 and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from layer_calls import build, call
from registry import LAYERS, B, D, F, K, M, normal
from twins import tafe as twin

from tafe_tf.layers import InducingPointAttention
from tafe_tf.layers import attention as attention_file
from tafe_tf.models import TAFE


def test_attention_is_equations_17_to_19() -> None:
    layer = build(LAYERS["attention"], dtype="float64")
    h, z = normal(B, F, D), np.clip(normal(B, K, seed=9), 0, 1)
    p = twin.values(twin.attention_variables(layer))
    got = call(layer, (h, z), "float64")
    np.testing.assert_allclose(got, twin.attention(p, h, z, M), rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_closed_form_gradients_are_those_of_automatic_differentiation(dtype: str) -> None:
    """To rounding in float64; in half precision, what both have lost is of one size."""
    rng = np.random.default_rng(4)
    shapes = [(3, 2 * 5, 6), (3, 7, 6), (3, 2, 7, 3)]  # B = 3, M = 2, K = 5, F = 7, d = 6, e = 3
    values = [rng.normal(size=shape) for shape in shapes]
    upstream = rng.normal(size=(3, 2, 5, 3))

    def gradients(function: Callable[..., Any], kind: str) -> list[np.ndarray]:
        arguments = [tf.cast(value, kind) for value in values]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            out = function(*arguments)
            total = tf.reduce_sum(out * tf.cast(upstream, kind))
        return [out, *tape.gradient(total, arguments)]

    exact = gradients(attention_file.attend, "float64")
    got, plain = (
        gradients(attention_file.attend_and_learn, dtype),
        gradients(attention_file.attend, dtype),
    )
    for want, ours, theirs in zip(exact, got, plain, strict=True):
        scale = np.abs(want).max()
        ours_off = np.abs(np.array(tf.cast(ours, tf.float64)) - want).max() / scale
        theirs_off = np.abs(np.array(tf.cast(theirs, tf.float64)) - want).max() / scale
        assert (
            ours_off
            <= {"float64": 1e-14, "float32": 1e-6, "bfloat16": 2 * theirs_off + 1e-3}[dtype]
        )


def test_training_takes_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def recorded(*arguments: Any) -> Any:
        taken.append(len(arguments))
        return attention_file.attend(*arguments)

    monkeypatch.setattr(attention_file, "attend_and_learn", recorded)
    model = TAFE([4, 3], 2, embedding_dim=6, num_inducing=3, num_layers=2)
    model(np.zeros((2, 2), int))
    assert taken == []
    model(np.zeros((2, 2), int), training=True)
    assert taken == [3, 3]


def test_a_row_that_the_selector_closes_attends_evenly() -> None:
    layer = build(LAYERS["attention"], dtype="float64")
    h = normal(B, F, D)
    got = call(layer, (h, np.array([[0.0, 1.0, 1.0]] * B)), "float64").numpy()
    evenly = h.mean(axis=1) @ layer.value.numpy() @ layer.output_projection.numpy()
    np.testing.assert_allclose(got[:, 0], evenly, rtol=1e-11)
    assert np.abs(got[:, 1] - evenly).max() > 0.1


def test_heads_must_divide_the_dimension() -> None:
    message = r"`num_heads` must divide the dimension 6\. .*=4"
    with pytest.raises(ValueError, match=message):
        InducingPointAttention(K, 4).build((None, F, D))
