"""Eq. 14-16: the smooth step, gamma's schedule and the selector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from layer_calls import build, call
from registry import LAYERS
from twins import tafe as twin

from tafe_tf.layers import GammaSchedule
from tafe_tf.layers.selector import smooth_step


@pytest.mark.parametrize("gamma", [10.0, 1.0, 1e-3])
def test_smooth_step_is_equation_16(gamma: float) -> None:
    z = gamma * np.linspace(-0.8, 0.8, 321)
    got = smooth_step(z, gamma).numpy()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, twin.smooth_step(z, gamma), rtol=0, atol=1e-14)
    assert (got[z <= -gamma / 2] == 0.0).all() and (got[z >= gamma / 2] == 1.0).all()
    assert (got[z <= -gamma / 2].size, got[z >= gamma / 2].size) >= (60, 60)


def test_the_slope_of_the_smooth_step_is_continuous() -> None:
    gamma = 2.0
    z = tf.constant([-1.5, -1.0, -1.0 + 1e-9, 0.0, 1.0 - 1e-9, 1.0, 1.5], "float64")
    with tf.GradientTape() as tape:
        tape.watch(z)
        y = smooth_step(z, gamma)
    # f' = 3 / (2 gamma) - 6 z^2 / gamma^3 inside, 0 outside
    np.testing.assert_allclose(tape.gradient(y, z), [0, 0, 0, 3 / (2 * gamma), 0, 0, 0], atol=1e-8)


def test_half_precision_input_at_the_end_of_the_schedule() -> None:
    z = tf.constant([-3e4, -1e-3, -1e-4, 0.0, 1e-4, 1e-3, 3e4], "bfloat16")
    got = smooth_step(z, tf.constant(1e-3))
    assert got.dtype == tf.float32
    want = twin.smooth_step(z.numpy().astype(float), 1e-3)
    assert want[0] == want[1] == 0.0 and want[-2] == want[-1] == 1.0
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 37_000, 49_995, 49_996, 1_000_000])
def test_gamma_schedule(step: int) -> None:
    schedule = GammaSchedule()
    schedule.step.assign(step)
    np.testing.assert_allclose(schedule.value(), max(10 - 2e-4 * step, 1e-3), rtol=1e-6, atol=1e-6)


def test_gamma_advances_and_is_restored() -> None:
    schedule = GammaSchedule(start=4.0, end=0.5, decay_steps=8)
    values = []
    for _ in range(10):
        values.append(float(schedule.value()))
        schedule.advance()
    np.testing.assert_allclose(values, [4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5, 0.5, 0.5], rtol=1e-6)
    again = GammaSchedule.from_config(schedule.get_config())
    assert float(again.value()) == 4.0
    again.set_weights(schedule.get_weights())
    assert again.step.dtype == "int32" and int(again.step) == 10 and float(again.value()) == 0.5
    assert not again.trainable_variables


@pytest.mark.parametrize("arguments", [{"start": 1e-4}, {"end": 0.0}, {"decay_steps": 0}])
def test_gamma_schedule_refuses(arguments: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"`start` >= `end` > 0 and `decay_steps` > 0 must hold\. Received: start="
    ):
        GammaSchedule(**arguments)


@pytest.mark.parametrize("name", ["selector", "deep selector"])
def test_the_selector_is_equations_14_to_16(name: str) -> None:
    layer = build(LAYERS[name], dtype="float64")
    h, gamma = LAYERS[name].arguments
    p: dict[str, np.ndarray] = {}
    for i, dense in enumerate([*layer.hidden, layer.projection]):
        p |= {f"mlp{i}": dense.kernel.numpy(), f"mlp_bias{i}": dense.bias.numpy()}
    want = twin.select(p, h, gamma)
    np.testing.assert_allclose(call(layer, (h, gamma), "float64"), want, rtol=1e-11, atol=1e-14)
