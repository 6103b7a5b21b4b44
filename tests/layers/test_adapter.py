"""The Task-Specific Adapter, eq. 21-22."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from layer_calls import build, call
from registry import LAYERS, B, D, K, M, N, normal
from twins import tafe as twin

from tafe_tf.layers import TaskSpecificAdapter


@pytest.mark.parametrize("name", ["first adapter", "later adapter"])
def test_adapter_is_equations_21_and_22(name: str) -> None:
    case = LAYERS[name]
    layer = build(case, dtype="float64")
    y, *before = case.arguments
    p = twin.values(twin.adapter_variables(layer))
    want = twin.adapter(p, y, before[0] if before else 0.0, M)
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-10, atol=1e-12)


def test_a_task_depends_on_its_own_parameters_and_state_only() -> None:
    case = LAYERS["later adapter"]
    layer = build(case)
    y, t = (tf.constant(a, "float32") for a in case.arguments)
    with tf.GradientTape() as tape:
        tape.watch(t)
        out = layer(y, t)[:, 1]
        loss = tf.reduce_sum(out * tf.constant(normal(B, D, seed=3), "float32"))
    *parameters, state = tape.gradient(loss, [*(v.value for v in layer.trainable_variables), t])
    assert len(parameters) == 6
    for gradient in [*parameters, tf.transpose(state, (1, 0, 2))]:
        sizes = np.abs(gradient.numpy().reshape(N, -1)).sum(axis=1)
        assert sizes[0] == sizes[2] == 0.0 < sizes[1]


def test_tasks_start_apart() -> None:
    layer = TaskSpecificAdapter(N, M)
    layer.build((None, K, D))
    for w in (layer.indicators, layer.key, layer.value, layer.output_projection):
        assert np.abs(w.numpy()[0] - w.numpy()[1]).max() > 1e-3
        limit = np.sqrt(6 / (N + D)) if w is layer.indicators else np.sqrt(6 / (D + D))  # Glorot's
        assert 0.5 * limit < np.abs(w.numpy()).max() <= limit


def test_heads_must_divide_the_dimension() -> None:
    message = r"`num_heads` must divide the dimension 6\. .*=0"
    with pytest.raises(ValueError, match=message):
        TaskSpecificAdapter(N, 0).build((None, K, D))
