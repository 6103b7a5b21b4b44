"""What every layer of the registry must do."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from layer_calls import build, call
from registry import LAYERS, LayerCase

from tafe_tf import layers

every_case = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())


def test_every_layer_is_here() -> None:
    without_a_call = {"Configured", "GammaSchedule"}
    made = {type(case.make()).__name__ for case in LAYERS.values()}
    assert made == set(layers.__all__) - without_a_call


@every_case
def test_config_round_trip(case: LayerCase) -> None:
    layer = build(case)
    again = type(layer).from_config(layer.get_config())
    call(again, case.arguments)
    again.set_weights(layer.get_weights())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(call(again, case.arguments), call(layer, case.arguments))


@every_case
def test_one_row_alone_is_the_row_in_its_batch(case: LayerCase) -> None:
    layer = build(case)
    one = keras.tree.map_structure(lambda x: x if isinstance(x, float) else x[1:2], case.arguments)
    batch, alone = call(layer, case.arguments), call(layer, one)
    assert alone.shape == (1, *batch.shape[1:])
    np.testing.assert_allclose(alone[0], batch[1], rtol=1e-5, atol=1e-6)
    assert np.abs(batch[1] - batch[0]).max() > 1e-3  # rows do differ


@every_case
def test_output_shape_is_what_it_says(case: LayerCase) -> None:
    layer = build(case)
    tensors = [argument for argument in case.arguments if not isinstance(argument, float)]
    shapes = keras.tree.map_structure(lambda x: (None, *x.shape[1:]), tensors)
    shape = layer.compute_output_shape(*shapes)
    assert tuple(shape) == (None, *call(layer, case.arguments).shape[1:])


@every_case
def test_half_precision(case: LayerCase) -> None:
    layer = build(case, dtype="mixed_bfloat16")
    out = call(layer, case.arguments, "float32")
    assert out.dtype == case.half
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert np.isfinite(out.numpy().astype(float)).all()
    full = call(build(case), case.arguments)
    assert np.abs(out.numpy().astype(float) - full).max() < 0.1 * np.abs(full).max() + 0.05


@every_case
def test_double_precision_runs_end_to_end(case: LayerCase) -> None:
    arguments = case.arguments
    double, single = (
        call(build(case, dtype=t), arguments, t).numpy() for t in ("float64", "float32")
    )
    assert double.dtype == np.float64
    assert np.abs(double - single).max() < 1e-4
    assert (double != double.astype(np.float32)).any()  # no float32 step on the way
