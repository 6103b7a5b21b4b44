"""TAFE as a whole: its size, its values and gradients against a NumPy twin, its symmetries and its state."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

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
TASK_WEIGHTS, ROW_WEIGHTS = [1.0, 2.0, 0.5], np.array([1, 0.5, 0, 2, 1, 0.25])
SIZES: dict[str, Any] = {"embedding_dim": D, "num_inducing": K, "num_heads": M, "num_layers": L}
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], float)


def tiny(**kwargs: Any) -> TAFE:
    return TAFE(ROWS, N, **{**SIZES, **kwargs})


def trained(seed: int = 17, **kwargs: Any) -> TAFE:
    """In float64, with weights of size 1 that no symmetry ties, and gamma such that some units are shut, some open."""
    model = tiny(dtype="float64", gamma_start=2.0, gamma_decay_steps=1000, **kwargs)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.8, size=variable.shape))
    model.gamma.step.assign(10)
    return model


def variables(model: TAFE) -> dict[str, keras.Variable]:
    """All trainable variables, by the names of the twin."""
    named = {
        "table": model.embedding.table,
        "head": model.heads.kernel,
        "head_bias": model.heads.bias,
    }
    for i, (block, adapter) in enumerate(zip(model.blocks, model.adapters, strict=True)):
        for j, dense in enumerate([*block.selector.hidden, block.selector.projection]):
            named |= {f"mlp{i}{j}": dense.kernel, f"mlp_bias{i}{j}": dense.bias}
        a = block.attention
        named |= {
            f"I{i}": a.inducing_points,
            f"k{i}": a.key,
            f"v{i}": a.value,
            f"o{i}": a.output_projection,
        }
        named |= {f"gain{i}": block.norm.gamma, f"bias{i}": block.norm.beta}
        named |= {f"alpha{i}": adapter.indicators, f"tk{i}": adapter.key, f"tv{i}": adapter.value}
        named |= {
            f"to{i}": adapter.output_projection,
            f"tgain{i}": adapter.scale,
            f"tbias{i}": adapter.shift,
        }
    assert {id(v) for v in named.values()} == {id(v) for v in model.trainable_variables}
    return named


# The twin: NumPy, real or complex (for derivatives by a complex step, exact to rounding).

Weights = dict[str, np.ndarray]


def softmax(x: np.ndarray) -> Any:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def norm(x: np.ndarray) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-3)


def attend(
    query: np.ndarray, h: np.ndarray, key: np.ndarray, value: np.ndarray, output: np.ndarray
) -> Any:
    """[B, Q, d], [B, F, d] -> [B, Q, d], eq. 18-19."""
    e = D // M
    parts = []
    for cut in (slice(j * e, (j + 1) * e) for j in range(M)):
        scores = query[..., cut] @ (h @ key[:, cut]).transpose(0, 2, 1) / np.sqrt(e)
        parts.append(softmax(scores) @ (h @ value[:, cut]))
    return np.concatenate(parts, axis=-1) @ output


def select(p: Weights, i: int, h: np.ndarray, gamma: float) -> np.ndarray:
    """Eq. 14-16."""
    x, last = h.reshape(len(h), -1), sum(name.startswith(f"mlp{i}") for name in p) - 1
    for j in range(last + 1):
        x = x @ p[f"mlp{i}{j}"] + p[f"mlp_bias{i}{j}"]
        x = np.where((x.real > 0) | (j == last), x, 0)
    cubic = -2 / gamma**3 * x**3 + 3 / (2 * gamma) * x + 0.5
    return np.where(x.real <= -gamma / 2, 0, np.where(x.real >= gamma / 2, 1, cubic))


def forward(p: Weights, ids: np.ndarray, gamma: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits [B, N] and the selectors' outputs."""
    y = p["table"][ids + np.array([0, 4, 7])]
    t, selected = np.zeros((len(ids), N, D)), []
    for i in range(L):
        z = select(p, i, y, gamma)
        selected.append(z)
        query = p[f"I{i}"] * z[:, :, None]
        o = attend(query, y, p[f"k{i}"], p[f"v{i}"], p[f"o{i}"])
        y = norm(o + (query if i == 0 else y)) * p[f"gain{i}"] + p[f"bias{i}"]
        alpha = np.tile(p[f"alpha{i}"], (len(ids), 1, 1))
        own = [
            attend(alpha[:, n : n + 1], y, *(p[f"{w}{i}"][n] for w in ("tk", "tv", "to")))
            for n in range(N)
        ]
        t = norm(t + np.concatenate(own, axis=1)) * p[f"tgain{i}"] + p[f"tbias{i}"]
    return (t * p["head"]).sum(axis=-1) + p["head_bias"], selected


def loss_of(p: Weights, gamma: float) -> Any:
    """Eq. 25 with task and row weights."""
    f = 1 / (1 + np.exp(-forward(p, IDS, gamma)[0]))
    rows = -(np.array(TASK_WEIGHTS) * (LABELS * np.log(f) + (1 - LABELS) * np.log(1 - f))).sum(
        axis=1
    )
    for i in range(1, N):
        rows = rows + ((f[:, i - 1] - f[:, i]) - (LABELS[:, i - 1] - LABELS[:, i])) ** 2
    return (ROW_WEIGHTS * rows).sum() / B


def complex_step(
    function: Callable[[Weights], Any], p: Weights, name: str, size: float = 1e-30
) -> np.ndarray:
    """d function / d p[name], one entry at a time."""
    gradient = np.zeros(p[name].shape)
    for place in np.ndindex(gradient.shape):
        moved = p[name].astype(complex)
        moved[place] += 1j * size
        gradient[place] = function({**p, name: moved}).imag / size
    return gradient


@pytest.fixture(scope="module", params=[(), (5,)], ids=["one layer", "hidden layer"])
def model(request: pytest.FixtureRequest) -> TAFE:
    return trained(selector_hidden=request.param)


def test_outputs_equal_the_twins(model: TAFE) -> None:
    p = {name: v.numpy() for name, v in variables(model).items()}
    gamma = float(model.gamma.value())
    want, selected = forward(p, IDS, gamma)
    for z in selected:  # all three branches of eq. 16
        assert (z == 0).any() and (z == 1).any() and ((z > 0) & (z < 1)).any()
    got = model(IDS).numpy()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_all_gradients_equal_the_twins(model: TAFE, training: bool) -> None:
    named = variables(model)
    p, gamma = {name: v.numpy() for name, v in named.items()}, float(model.gamma.value())
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
    for name, variable in variables(other).items():
        variable.assign(variables(one)[name].numpy().reshape(variable.shape))
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
        ({"num_tasks": 1}, r"`num_tasks` must be 2 or more\. Received: num_tasks=1"),
        ({"num_layers": 0}, r"`num_layers` must be 1 or more\. Received: num_layers=0"),
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
