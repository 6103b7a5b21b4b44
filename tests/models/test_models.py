"""What must hold for every model of the registry, and the baselines against their twins."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import BASELINES, MODELS, WITH_ACTIONS, make, randomize
from scipy.special import expit
from sklearn.metrics import log_loss
from twins import baselines as twin

from tafe_tf.keras_metrics import funnel_metrics
from tafe_tf.models import BY_NAME, FunnelModel

ROWS, D, N, B = [4, 3, 5], 4, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
# The last columns are actions between the first step and the second; only ESM2 reads the first of
# them, and HM3 both.
STEPS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]]
ACTIONS = [[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [1, 1]]
LABELS = np.concatenate([STEPS, ACTIONS], axis=1).astype(float)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> FunnelModel:
    """In float64, with weights of size 1 that no symmetry ties."""
    return randomize(make(request.param, ROWS, N, D, dtype="float64"))


def restart(model: FunnelModel) -> None:
    """Takes back the steps that calls in training counted."""
    for schedule in model.schedules():
        schedule.step.assign(0)


def test_every_model_is_here() -> None:
    assert {name for name, _ in MODELS.values()} == set(BY_NAME)


@pytest.mark.parametrize("name", BASELINES)
def test_logits_equal_the_twins(name: str) -> None:
    model = randomize(make(name, ROWS, N, D, dtype="float64"))
    expected = np.array([twin.logits(model, row) for row in IDS])
    np.testing.assert_allclose(model(IDS), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(model(IDS[:1]), expected[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_logits_of_one_step_equal_the_twins(name: str) -> None:
    if name in WITH_ACTIONS:
        with pytest.raises(ValueError, match=r"`via` must be empty in a funnel of one step"):
            make(name, ROWS, 1, D)
        return
    model = randomize(make(name, ROWS, 1, D, dtype="float64"), seed=5)
    expected = np.array([twin.logits(model, row) for row in IDS])
    np.testing.assert_allclose(model(IDS), expected, rtol=0, atol=1e-12)
    assert expected.shape == (B, 1)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITH_ACTIONS])
def test_one_step_is_learned_by_its_cross_entropy_alone(name: str, tmp_path: pathlib.Path) -> None:
    model = randomize(make(name, ROWS, 1, D, dtype="float64"))
    labels = LABELS[:, :1]
    with tf.GradientTape() as tape:
        logits = model(IDS, training=True)
        loss = model.paper_loss(task_weights=[0.5])(labels, logits)
    assert logits.shape == (B, 1)  # no column for a conditional step
    expected = log_loss(labels[:, 0], expit(logits[:, 0]))
    assert float(loss) == pytest.approx(0.5 * expected, rel=1e-5)
    variables = [variable.value for variable in model.trainable_variables]
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, variable.name
    restart(model)
    before = np.array(model(IDS))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), before)
    model.shift_logits(np.array([0.25], np.float32))
    np.testing.assert_allclose(model(IDS), before + 0.25, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["esm2", "escm2+dr"])
def test_labels_of_one_step_may_be_flat(name: str) -> None:
    histories = []
    for labels in (LABELS[:, 0], LABELS[:, :1]):
        keras.utils.set_random_seed(2)
        model = make(name, ROWS, 1, D)
        metrics = funnel_metrics(["ctr"], [])
        model.compile(optimizer="adam", loss=model.paper_loss(), weighted_metrics=metrics)
        fitted = model.fit(IDS, labels, validation_data=(IDS, labels), verbose=0)
        histories.append(fitted.history)
        assert np.isfinite(float(model.paper_loss()(labels, model(IDS))))
    flat, column = histories
    assert flat == column
    assert set(flat) >= {"loss", "auc/ctr", "log_loss/ctr", "val_pcoc/ctr"}


def test_every_weight_has_a_gradient(model: FunnelModel) -> None:
    with tf.GradientTape() as tape:
        loss = model.paper_loss()(LABELS, model(IDS, training=True))
    variables = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(np.array(tf.convert_to_tensor(gradient))).max() > 0, variable.path


def test_the_loss_does_not_depend_on_the_batch_size(model: FunnelModel) -> None:
    loss = model.paper_loss()
    whole = float(loss(LABELS, model(IDS, training=True)))
    restart(model)
    twice = float(
        loss(np.repeat(LABELS, 2, axis=0), model(np.repeat(IDS, 2, axis=0), training=True))
    )
    assert twice == pytest.approx(whole, rel=1e-6)  # the loss computes in float32


@pytest.mark.parametrize("name", BASELINES)
def test_towers_and_experts_differ_at_step_0(name: str) -> None:
    keras.utils.set_random_seed(0)
    made = make(name, ROWS, N, D)
    stacked = [v for v in made.trainable_variables if len(v.shape) == 3]
    kernels = [v for v in stacked if "kernel" in v.name and "attention" not in v.path]
    assert kernels
    for kernel in kernels:
        flat = kernel.numpy().reshape(kernel.shape[0], -1)
        assert len(np.unique(flat, axis=0)) == len(flat), kernel.path
    tables = [v.numpy() for v in made.trainable_variables if v.name == "table"]
    assert len({table.tobytes() for table in tables}) == len(tables)


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: pathlib.Path) -> None:
    made = make(name, ROWS, N, D, dropout=0.1)
    made.shift_logits(np.arange(N, dtype=np.float32))
    made.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), made(IDS))
    assert loaded.get_config() == made.get_config()
    assert np.any(np.array(made(IDS, training=True))[:, :N] != np.array(made(IDS)))  # dropout


@pytest.mark.parametrize("name", all_slow_but({"tafe"}, ["tafe", "ple", "sluice", "esm2"]))
def test_fit_learns(name: str) -> None:
    keras.utils.set_random_seed(1)
    made = make(name, ROWS, N, D)
    made.compile(optimizer=keras.optimizers.Adam(0.02), loss=made.paper_loss(), jit_compile=False)
    first = made.fit(IDS, LABELS, batch_size=B, verbose=0).history["loss"][0]
    many = np.tile(IDS, (5, 1)), np.tile(LABELS, (5, 1))
    last = made.fit(*many, batch_size=B, epochs=30, shuffle=False, verbose=0).history["loss"][-1]
    assert last < 0.6 * first


@pytest.mark.parametrize("rows", [1, 2, B])
def test_a_batch_in_pieces_gives_the_logits_and_gradients_of_the_whole(
    model: FunnelModel, rows: int
) -> None:
    seen, loss = [], model.paper_loss()
    for pieces in (1, 4):
        model.pieces = pieces
        restart(model)
        with tf.GradientTape() as tape:
            out = model(IDS[:rows], training=True)
            value = loss(LABELS[:rows], out)
        gradients = tape.gradient(value, [w.value for w in model.trainable_variables])
        seen.append(
            [
                np.array(out),
                np.array(model(IDS[:rows])),
                *(np.array(tf.convert_to_tensor(g)) for g in gradients),
            ]
        )
    for whole, cut in zip(*seen, strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-12, atol=1e-14)
