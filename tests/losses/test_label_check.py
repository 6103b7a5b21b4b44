"""Labels other than 0 and 1: an error that names them, wherever a loss reads labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import make
from without_tensorflow import run_module

from tafe_tf.losses import ActionLoss, CounterfactualLoss, FunnelLoss

ROWS = [4, 3, 5]
WRONG = [-1.0, float("nan"), 0.5, 2.0]
GOOD = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
LOSSES = {
    "funnel": (FunnelLoss(), 3),
    "action": (ActionLoss(2, dependence_weight=0.0), 3),
    "counterfactual": (CounterfactualLoss(3, "ips"), 5),
}


def labels(value: float, row: int, column: int) -> np.ndarray:
    changed = GOOD.copy()
    changed[row, column] = value
    return changed


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", LOSSES)
def test_called_by_itself(name: str, value: float) -> None:
    loss, columns = LOSSES[name]
    logits = np.zeros((3, columns), np.float32)
    assert np.isfinite(float(loss(GOOD, logits)))
    said = rf"y_true\[1, 2\], task 3 in row 2: a label must be 0 or 1. Received: {value}"
    with pytest.raises(ValueError, match=said):
        loss(labels(value, 1, 2), logits)
    with pytest.raises(ValueError, match=r"y_true\[0, 0\], task 1 in row 1: .*Received: 7"):
        loss(labels(7, 0, 0).astype(np.int64), logits)


def test_where_labels_may_be_unknown_the_error_says_how() -> None:
    loss = FunnelLoss(may_be_unknown=True)
    assert np.isfinite(float(loss(labels(-1.0, 1, 2), np.zeros((3, 3)))))
    said = "task 3 in row 2: a label must be 0, 1 or, where it is unknown, -1. Received: -2.0"
    with pytest.raises(ValueError, match=said):
        loss(labels(-2.0, 1, 2), np.zeros((3, 3)))


def test_columns_that_are_not_read_are_not_judged() -> None:
    assert np.isfinite(float(FunnelLoss()(labels(-1.0, 0, 2), np.zeros((3, 2), np.float32))))


@pytest.mark.parametrize("value", WRONG)
def test_in_a_graph(value: float) -> None:
    loss, _ = LOSSES["funnel"]

    @tf.function
    def graph(y: tf.Tensor) -> Any:
        return loss(y, tf.zeros([3, 3]))

    expected = float(loss(GOOD, np.zeros((3, 3), np.float32)))
    assert float(graph(tf.constant(GOOD))) == pytest.approx(expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a label must be 0 or 1.*task:.*3"):
        graph(tf.constant(labels(value, 1, 2)))


@pytest.mark.parametrize("value", WRONG)
def test_compiled_by_xla_the_loss_is_nan(value: float) -> None:
    loss, _ = LOSSES["funnel"]

    @tf.function(jit_compile=True)
    def compiled(y: tf.Tensor) -> Any:
        return loss(y, tf.zeros([3, 3]))

    assert np.isfinite(float(compiled(tf.constant(GOOD))))
    assert np.isnan(float(compiled(tf.constant(labels(value, 1, 2)))))


@pytest.mark.parametrize("name", all_slow_but({"tafe"}, ["tafe", "escm2+dr"]))
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_and_evaluate_of_keras(name: str, run_eagerly: bool) -> None:
    model = make(name, ROWS, 3)
    model.compile(
        optimizer="adam", loss=model.paper_loss(), run_eagerly=run_eagerly, jit_compile=False
    )
    ids = np.array([[1, 2, 3], [0, 1, 2], [3, 0, 0]])
    model.fit(ids, GOOD, verbose=0)
    before = model.get_weights()
    errors = (ValueError, tf.errors.InvalidArgumentError)
    for value in (-1.0, float("nan")):
        for method in (model.fit, model.evaluate):
            with pytest.raises(errors, match="a label must be 0 or 1"):
                method(ids, labels(value, 1, 2), verbose=0)
    schedules = {id(schedule.step) for schedule in model.schedules()}
    for variable, weight in zip(model.weights, before, strict=True):
        if id(variable) not in schedules:
            np.testing.assert_array_equal(variable, weight)


def test_a_loop_whose_reader_checks_does_without() -> None:
    loss = FunnelLoss()
    loss.checks_labels = False
    assert np.isfinite(float(loss(labels(-1.0, 1, 2), np.zeros((3, 3), np.float32))))


@pytest.mark.slow
def test_on_jax() -> None:
    pytest.importorskip("jax")
    said = run_module("jax_labels")
    assert said.splitlines() == [
        "y_true[1, 2], task 3 in row 2: a label must be 0 or 1. Received: -1.0",
        "finite nan",
    ]
