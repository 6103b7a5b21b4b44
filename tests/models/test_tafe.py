"""TAFE as a whole: its size, values and gradients against the twin, symmetries and state."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from registry import randomize
from twins import losses as twin_losses
from twins import tafe as twin
from twins.numbers import complex_step

from tafe_tf.losses import FunnelLoss
from tafe_tf.models import TAFE

ALI_CCP_ROWS = [
    238635,
    98,
    14,
    3,
    8,
    4,
    4,
    3,
    5,
    467298,
    6929,
    263942,
    106399,
    5888,
    104830,
    51878,
    37148,
    4,
]

ROWS, D, K, M, L, N, B = [4, 3, 5], 4, 3, 2, 2, 3, 6
OFFSETS = [0, 4, 7]
TASK_WEIGHTS, ROW_WEIGHTS = [1.0, 2.0, 0.5], np.array([1, 0.5, 0, 2, 1, 0.25])
SIZES: dict[str, Any] = {"embedding_dim": D, "num_inducing": K, "num_heads": M, "num_layers": L}
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], float)


def tiny(**kwargs: Any) -> TAFE:
    return TAFE(ROWS, N, **{**SIZES, **kwargs})


def trained(seed: int = 17, **kwargs: Any) -> TAFE:
    """In float64, with weights of size 1, and gamma such that some units are shut, some open."""
    model = tiny(dtype="float64", gamma_start=2.0, gamma_decay_steps=1000, **kwargs)
    randomize(model, seed, scale=0.8)
    model.gamma.step.assign(10)
    return model


def loss_of(p: twin.Weights, gamma: float) -> Any:
    """Eq. 25 with task and row weights."""
    logits, _ = twin.logits(p, IDS, OFFSETS, gamma, M)
    return (ROW_WEIGHTS * twin_losses.funnel(LABELS, logits, TASK_WEIGHTS)).sum() / B


@pytest.fixture(
    scope="module",
    params=[{}, {"selector_hidden": (5,)}, {"deep_units": 5}],
    ids=["one layer", "hidden layer", "deep component"],
)
def model(request: pytest.FixtureRequest) -> TAFE:
    return trained(**request.param)


def test_outputs_equal_the_twins(model: TAFE) -> None:
    p = twin.values(twin.variables(model))
    gamma = float(model.gamma.value())
    want, selected = twin.logits(p, IDS, OFFSETS, gamma, M)
    for z in selected:  # all three branches of eq. 16
        assert (z == 0).any() and (z == 1).any() and ((z > 0) & (z < 1)).any()
    got = model(IDS).numpy()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_all_gradients_equal_the_twins(model: TAFE, training: bool) -> None:
    named = twin.variables(model)
    p = twin.values(named)
    gamma = float(model.gamma.value())
    loss = FunnelLoss(TASK_WEIGHTS, dtype="float64")
    with tf.GradientTape() as tape:
        value = loss(LABELS, model(IDS, training=training), ROW_WEIGHTS)
    gradients = tape.gradient(value, [v.value for v in named.values()])
    np.testing.assert_allclose(value, loss_of(p, gamma), rtol=1e-12)
    for name, gradient in zip(named, gradients, strict=True):
        want = complex_step(lambda moved: loss_of(moved, gamma), p, name)
        got = tf.convert_to_tensor(gradient).numpy()
        assert np.abs(want).max() > 1e-6, name
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-12, err_msg=name)


def test_the_order_of_fields_is_of_no_account() -> None:
    one = trained()
    order = [2, 0, 1]
    other = TAFE(
        [ROWS[f] for f in order],
        N,
        dtype="float64",
        gamma_start=2.0,
        gamma_decay_steps=1000,
        **SIZES,
    )
    for name, variable in twin.variables(other).items():
        variable.assign(twin.variables(one)[name].numpy().reshape(variable.shape))
    blocks = np.split(one.embedding.table.numpy(), np.cumsum(ROWS)[:-1])
    other.embedding.table.assign(np.concatenate([blocks[f] for f in order]))
    kernel = one.blocks[0].selector.projection.kernel.numpy().reshape(len(ROWS), D, K)
    other.blocks[0].selector.projection.kernel.assign(kernel[order].reshape(-1, K))
    other.gamma.step.assign(one.gamma.step)
    np.testing.assert_allclose(other(IDS[:, order]), one(IDS), rtol=0, atol=1e-12)


def test_the_paper_s_size() -> None:
    model = TAFE(ALI_CCP_ROWS, 2)
    table = int(np.prod(model.embedding.table.shape))
    dense = model.count_params() - table - 1  # the one is gamma's step
    assert (table, dense) == (23_095_620, 259_062)
    assert round((table + dense) * 4 / 2**20, 2) == 89.09
    assert sum(block.selector.count_params() for block in model.blocks) == 242_176
    assert sum(adapter.count_params() for adapter in model.adapters) == 8_208
    assert model.heads.count_params() == 38


def test_one_row_one_logit_a_task_and_float32_under_half_precision() -> None:
    keras.utils.set_random_seed(3)
    single = tiny()
    half = tiny(dtype="mixed_bfloat16")
    half.set_weights(single.get_weights())
    out = half(IDS[:1])
    assert out.shape == (1, N) and out.dtype == tf.float32
    assert {v.dtype for v in half.trainable_variables} == {"float32"}
    np.testing.assert_allclose(out, single(IDS)[:1], atol=0.05)  # bfloat16 carries 8 bits
    np.testing.assert_allclose(single(IDS[:1]), single(IDS)[:1], atol=1e-6)


def test_lists_are_pooled_before_the_blocks() -> None:
    model = tiny(slots=[1, 2, 1])
    ids = np.array([[1, 2, 2, 4]])
    ordinary = tiny()
    ordinary.set_weights(model.get_weights())
    pooled = model({"ids": ids, "weights": np.array([[1, 0.25, 0.75, 1]], "float32")})
    np.testing.assert_allclose(pooled, ordinary(np.array([[1, 2, 4]])), atol=1e-6)
    with pytest.raises(ValueError, match="fields with several slots need pooling weights"):
        model(ids)


def test_training_advances_gamma_by_one_and_inference_does_not() -> None:
    model = tiny()
    for _ in range(2):
        model(IDS)
        model(IDS, training=False)
    assert int(model.gamma.step) == 0
    tf.function(model)(IDS, training=True)
    model(IDS, training=True)
    assert int(model.gamma.step) == 2


def test_gamma_moves_the_output() -> None:
    model = trained()
    before = model(IDS).numpy()
    model.gamma.step.assign(900)
    assert np.abs(model(IDS).numpy() - before).max() > 1e-3


def test_dropout_acts_in_training_only() -> None:
    model = tiny(dropout=0.5, embedding_stddev=1.0)
    np.testing.assert_array_equal(model(IDS), model(IDS))
    assert np.abs(model(IDS, training=True) - model(IDS)).max() > 1e-6


def test_save_and_load_are_exact(tmp_path: pathlib.Path) -> None:
    model = tiny(selector_hidden=(5,))
    model(IDS, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is TAFE and int(again.gamma.step) == 1
    np.testing.assert_array_equal(again(IDS), model(IDS))


def test_config_round_trip() -> None:
    config = tiny(
        selector_hidden=(5,), gamma_start=3.0, slots=[1, 2, 1], dropout=0.1, dtype="float64"
    ).get_config()
    again = TAFE.from_config(config)
    assert again.get_config() == config
    assert (
        config["selector_hidden"] == [5]
        and config["slots"] == [1, 2, 1]
        and config["gamma_start"] == 3.0
    )
    assert again.dtype_policy.name == "float64" and float(again.gamma.value()) == 3.0


def test_tasks_and_layers_start_apart() -> None:
    model = tiny()
    for adapter in model.adapters:
        assert np.abs(adapter.key.numpy()[0] - adapter.key.numpy()[1]).max() > 1e-3
    assert np.abs(model.heads.kernel.numpy()[0] - model.heads.kernel.numpy()[1]).max() > 1e-3
    for part in ("blocks", "adapters"):
        first, second = (layer.get_weights() for layer in getattr(model, part))
        assert (
            sum(
                a.shape == b.shape and np.array_equal(a, b)
                for a, b in zip(first, second, strict=True)
            )
            <= 3
        )
    logits = model(IDS).numpy()
    assert np.abs(np.diff(logits, axis=1)).min() > 1e-4


def test_the_seed_decides_the_weights() -> None:
    weights = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        weights.append(tiny().get_weights())
    for one, same, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, same)
        constant = np.unique(one).size == 1  # biases, norms, gamma's step
        assert constant or (one != other).all()


def test_tasks_do_not_read_each_other() -> None:
    model = trained()
    with tf.GradientTape() as tape:
        logit = model(IDS)[:, 0]
    for gradient in tape.gradient(logit, [adapter.indicators.value for adapter in model.adapters]):
        assert np.abs(gradient[0]).max() > 0
        assert np.abs(gradient[1:]).max() == 0


def test_fits_in_plain_keras() -> None:
    keras.utils.set_random_seed(0)
    model = tiny()
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=FunnelLoss())
    losses = model.fit(
        np.tile(IDS, (8, 1)), np.tile(LABELS, (8, 1)), batch_size=8, epochs=20, verbose=0
    ).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tasks": 0}, r"`num_tasks` must be 1 or more\. Received: num_tasks=0"),
        ({"num_layers": 0}, r"`num_layers` must be 1 or more\. Received: num_layers=0"),
        ({"num_layers": 1.5}, r"`num_layers` must be a whole number\. Received: num_layers=1\.5"),
        ({"deep_units": 1.5}, r"`deep_units` must be a whole number\. Received: deep_units=1\.5"),
        ({"num_heads": 3}, r"`num_heads` must divide the dimension 4\. Received: num_heads=3"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TAFE(**{"field_rows": ROWS, "num_tasks": N, **SIZES, **arguments})


def test_pieces_change_neither_logits_nor_gradients_and_count_one_step() -> None:
    model = TAFE([7, 11, 13], 2, 6, num_inducing=5, num_heads=2, num_layers=2, dtype="float64")
    ids, seen = np.random.default_rng(0).integers(0, 7, (7, 3)), []
    for pieces in (1, 3):
        model.pieces = pieces
        model.gamma.step.assign(100)
        with tf.GradientTape() as tape:
            logits = model(ids, training=True)
            value = tf.reduce_sum(tf.square(logits))
        gradients = tape.gradient(value, [w.value for w in model.trainable_variables])
        seen.append([logits.numpy(), *(np.array(tf.convert_to_tensor(g)) for g in gradients)])
        assert int(model.gamma.step.numpy()) == 101
    for whole, cut in zip(*seen, strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-11, atol=1e-13)
