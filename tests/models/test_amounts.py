"""The head of an amount, for every model."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
from registry import MODELS, make, randomize
from scipy.special import expit
from twins import amounts as twin

from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Amount, Feature, Schema, Task

ROWS, D, N, B = [4, 3, 5], 4, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> FunnelModel:
    return randomize(make(request.param, ROWS, N, D, dtype="float64", amount=True))


def restart(model: FunnelModel) -> None:
    """Takes back the steps that calls in training counted."""
    for schedule in model.schedules():
        schedule.step.assign(0)


def without(model: FunnelModel) -> FunnelModel:
    """The same model without an amount: the same weights, and no others."""
    arguments = {**model.arguments, "amount": False}
    bare = type(model)(**arguments, dtype="float64")
    of_amount = [variable for variable in model.variables if "amount" in variable.name]
    assert [variable.name for variable in of_amount] == ["amount_kernel", "amount_bias"]
    known = {id(variable) for variable in of_amount}
    values = [variable.numpy() for variable in model.variables if id(variable) not in known]
    for variable, value in zip(bare.variables, values, strict=True):
        same = value[..., : variable.shape[-1]] if value.shape != variable.shape else value
        variable.assign(same)
    return bare


def test_logits_are_those_of_the_model_without_an_amount(model: FunnelModel) -> None:
    for training in (False, True):
        keras.utils.set_random_seed(0)
        outputs = np.array(model(IDS, training=training))
        keras.utils.set_random_seed(0)
        restart(model)
        expected = np.array(without(model)(IDS, training=training))
        np.testing.assert_allclose(outputs[:, :-2], expected, rtol=0, atol=1e-12)


def test_the_amount_reads_what_the_last_step_reads(model: FunnelModel) -> None:
    """With the last step's weights in its place, the amount's head gives that step's own logit."""
    heads = model.heads
    place = heads.place
    kernel = np.zeros(heads.amount_kernel.shape)
    kernel[:, 0] = heads.kernel.numpy()[place]
    heads.amount_kernel.assign(kernel)
    heads.amount_bias.assign([heads.bias.numpy()[place], 0.0])
    if getattr(model, "deep", None) is not None:
        wide = model.deep_heads.kernel.numpy()
        wide[:, -2] = wide[:, N - 1]
        model.deep_heads.kernel.assign(wide)
    conditional = np.array(model(IDS))[:, -2]
    f = expit(np.array(model(IDS))[:, :N])
    if not model.products:
        np.testing.assert_allclose(expit(conditional), f[:, -1], rtol=0, atol=1e-12)
    elif type(model).__name__ not in ("ESM2", "HM3"):  # whose steps have several heads
        np.testing.assert_allclose(expit(conditional), f[:, -1] / f[:, -2], rtol=0, atol=1e-9)


def test_a_model_with_an_amount_is_saved_and_loaded(
    model: FunnelModel, tmp_path: pathlib.Path
) -> None:
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_shifts_of_logits_leave_the_amount(model: FunnelModel) -> None:
    before = np.array(model(IDS))
    model.shift_logits(np.array([0.5, -0.25, 1.0]))
    model.scale_amount(float(np.log(3.0)))
    after = np.array(model(IDS))
    np.testing.assert_allclose(after[:, -2] - before[:, -2], np.log(3.0), rtol=1e-12)
    np.testing.assert_array_equal(after[:, -1], before[:, -1])


def test_an_amount_starts_at_the_mean_and_the_deviation() -> None:
    model = make("shared_bottom", ROWS, N, D, dtype="float64", amount=True)
    model.heads.amount_kernel.assign(np.zeros(model.heads.amount_kernel.shape))
    model.start_amount(3.0, 0.8)
    mu, s = np.array(model(IDS))[:, -2:].T
    np.testing.assert_allclose(mu, 3.0, rtol=1e-12)
    np.testing.assert_allclose([twin.sigma(raw) for raw in s], 0.8, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_named_outputs_are_the_twins(steps: int) -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(7, steps + 2))
    schema = Schema(
        name="shop",
        tasks=tuple(Task(name=f"t{i}") for i in range(steps)),
        amount=Amount(name="spend"),
        features=(Feature(name="hour", kind="integer", size=24),),
    )
    served = probabilities(keras.ops.convert_to_tensor(outputs), schema)
    assert tuple(served) == schema.output_names
    given = twin.means(outputs[:, -2], outputs[:, -1])
    last = expit(outputs[:, :steps].min(axis=1))
    np.testing.assert_allclose(served[f"amount_given_t{steps - 1}"], given, rtol=1e-12)
    np.testing.assert_allclose(served["expected_amount"], last * given, rtol=1e-12)
