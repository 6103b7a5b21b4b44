"""The loss of amounts against its twin in NumPy, for every model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from registry import MODELS, make, randomize
from twins import amounts as twin

from tafe_tf import log_normal
from tafe_tf.losses import FunnelLoss
from tafe_tf.models import FunnelModel

ROWS, D, N, B = [4, 3, 5], 4, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
STEPS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
ACTIONS = [[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [1, 1]]
AMOUNTS = np.array([0.0, 0.0, 0.0, 4.5, 0.0, 120.0])  # of the last conversion but one nobody knows
LABELS = np.concatenate([STEPS, ACTIONS, AMOUNTS[:, None]], axis=1).astype(float)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> FunnelModel:
    """In float64, with weights of size 1 that no symmetry ties."""
    return randomize(make(request.param, ROWS, N, D, dtype="float64", amount=True))


def gradients(model: FunnelModel, loss: FunnelLoss, labels: np.ndarray) -> list[np.ndarray]:
    for schedule in model.schedules():
        schedule.step.assign(0)
    keras.utils.set_random_seed(0)
    with tf.GradientTape() as tape:
        value = loss(labels, model(IDS, training=True))
    found = tape.gradient(value, [weight.value for weight in model.trainable_variables])
    dense = [tf.convert_to_tensor(gradient) for gradient in found if gradient is not None]
    return [np.array(gradient) for gradient in dense]


def test_the_likelihood_is_the_densitys() -> None:
    rng = np.random.default_rng(0)
    amounts = np.where(rng.random(50) < 0.3, 0.0, rng.lognormal(1.0, 2.0, 50))
    mu, s = rng.normal(size=50), 2 * rng.normal(size=50)
    parameters = np.stack([mu, s], axis=1)
    found = log_normal.losses(keras.ops.convert_to_tensor(amounts), parameters)
    np.testing.assert_allclose(found, twin.losses(amounts, mu, s), rtol=0, atol=1e-12)
    np.testing.assert_allclose(log_normal.means(parameters), twin.means(mu, s), rtol=1e-12)


def test_the_loss_adds_the_amounts_mean_over_all_rows(model: FunnelModel) -> None:
    """Divided by B as all else, whatever the number of conversions, and weighed."""
    outputs = np.array(model(IDS, training=True))
    with_amounts = model.paper_loss(amount_weight=0.7, dtype="float64")
    alone = model.paper_loss(amount_weight=None, dtype="float64")
    expected = twin.losses(AMOUNTS, outputs[:, -2], outputs[:, -1])
    rows = np.array([1.0, 2.0, 0.0, 3.0, 1.0, 0.5])
    for weight in (None, rows, np.repeat(rows[:, None], LABELS.shape[1], axis=1)):
        of_amounts = np.mean((1.0 if weight is None else rows) * expected)
        steps_alone = weight[:, :-1] if weight is not None and weight.ndim == 2 else weight
        of_steps = float(alone(LABELS[:, :-1], outputs[:, :-2], steps_alone))
        found = float(with_amounts(LABELS, outputs, weight))
        assert found == pytest.approx(of_steps + 0.7 * of_amounts, abs=1e-12)


def test_the_loss_takes_what_evaluation_gives(model: FunnelModel) -> None:
    outputs = model(IDS)
    assert tuple(outputs.shape) == (B, N + 2)
    loss = model.paper_loss(amount_weight=1.0)
    assert np.isfinite(float(loss(LABELS, outputs)))


def test_rows_without_an_amount_change_no_gradient_of_it(model: FunnelModel) -> None:
    """To the bit: 0 stands for what is not known as for what did not happen."""
    weighed = model.paper_loss(amount_weight=1.0, dtype="float64")
    ignored = model.paper_loss(amount_weight=0.0, dtype="float64")
    whole = gradients(model, weighed, LABELS)
    is_amount = np.arange(LABELS.shape[1]) == LABELS.shape[1] - 1
    none = gradients(model, weighed, np.where(is_amount, 0.0, LABELS))
    without = gradients(model, ignored, LABELS)
    for known, one, other in zip(whole, none, without, strict=True):
        assert np.isfinite(known).all()
        np.testing.assert_array_equal(one, other)


def test_a_constant_amount_is_learned_in_float32() -> None:
    """Sigma stops at its smallest: neither the loss nor a gradient grows without end."""
    mu = np.float32(np.log(9.99))
    parameters = tf.Variable([[mu, -80.0], [0.0, -80.0], [mu, 80.0]], dtype=tf.float32)
    with tf.GradientTape() as tape:
        values = log_normal.losses(tf.constant([9.99, 9.99, 1e-30]), parameters)
    assert np.isfinite(values).all()
    assert np.isfinite(tape.gradient(values, parameters)).all()


@pytest.mark.parametrize(
    "labels", [LABELS[:, :N], LABELS[:, [0, 1, 2, 5]]], ids=["steps", "amount"]
)
def test_a_loss_without_amounts_refuses_a_model_with_one(labels: np.ndarray) -> None:
    model = make("shared_bottom", ROWS, N, D, amount=True)
    with pytest.raises(ValueError, match="which needs `amount_weight`"):
        FunnelLoss()(labels, model(IDS))


def test_a_loss_with_amounts_refuses_labels_without_them() -> None:
    model = make("shared_bottom", ROWS, N, D, amount=True)
    with pytest.raises(ValueError, match="Received: 2 columns of labels and 3 of logits"):
        model.paper_loss()(LABELS[:, :N], model(IDS))


def test_compile_and_fit_learn_amounts(tmp_path: object) -> None:
    model = make("shared_bottom", ROWS, N, D, amount=True)
    model.compile(optimizer="adam", loss=model.paper_loss())
    history = model.fit(IDS, LABELS[:, [0, 1, 2, 5]], epochs=30, batch_size=B, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    loss = keras.losses.deserialize(keras.losses.serialize(model.paper_loss()))
    assert loss.amount_weight == 1.0
