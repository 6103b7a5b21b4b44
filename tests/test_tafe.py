"""TAFE against an independent NumPy twin, in float64."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.losses import FunnelLoss
from tafe_tf.models import TAFE

ALI_CCP = [238635, 98, 14, 3, 8, 4, 4, 3, 5, 467298, 6929, 263942, 106399, 5888, 104830, 51878, 37148, 4]
ROWS, N, D, K, M, L, GAMMA = [4, 3, 5], 3, 6, 5, 2, 3, 0.7


def tiny(**changes: Any) -> TAFE:
    settings: dict[str, Any] = {"embedding_dim": D, "num_inducing": K, "num_heads": M, "num_layers": L, "gamma_start": GAMMA}
    return TAFE(ROWS, N, **{**settings, "embedding_stddev": 0.7, "dtype": "float64", **changes})


def randomized(model: TAFE, seed: int = 0) -> TAFE:
    """Weights far from their start, biases and norms included, so that nothing is hidden by a zero or a one."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0.0, 0.3, weight.shape))
    return model


def batch(size: int = 4, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, rows, size) for rows in ROWS], axis=1).astype(np.int32)
    depth = rng.integers(0, N + 1, (size, 1))
    return ids, (depth > np.arange(N)).astype(np.float64), rng.uniform(0.5, 2.0, size)


# The twin: the paper's equations, row by row and head by head, keys not folded.


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3) * scale + shift


def smooth_step(z: np.ndarray, gamma: float) -> np.ndarray:
    inside = -2 / gamma**3 * z**3 + 3 / (2 * gamma) * z + 0.5
    return np.where(z <= -gamma / 2, 0.0, np.where(z >= gamma / 2, 1.0, inside))


def attention(q: np.ndarray, x: np.ndarray, wk: np.ndarray, wv: np.ndarray, wo: np.ndarray) -> np.ndarray:
    e, heads = D // M, []
    for j in range(M):
        part = slice(j * e, (j + 1) * e)
        heads.append(softmax(q[:, part] @ (x @ wk[:, part]).T / np.sqrt(e)) @ (x @ wv[:, part]))
    return np.concatenate(heads, axis=1) @ wo


def twin(weights: dict[str, np.ndarray], ids: np.ndarray, gamma: float) -> np.ndarray:
    logits = np.zeros((len(ids), N))
    for b, row in enumerate(ids):
        h = np.stack([weights["table"][sum(ROWS[:f]) + i] for f, i in enumerate(row)])
        t: list[np.ndarray | None] = [None] * N
        for layer in range(L):
            w = {k.removeprefix(f"{layer}/"): v for k, v in weights.items() if k.startswith(f"{layer}/")}
            z = h.reshape(-1)
            for i in range(9):
                if f"hidden{i}" in w:
                    z = np.maximum(z @ w[f"hidden{i}"] + w[f"hidden{i}_bias"], 0)
            z = smooth_step(z @ w["select"] + w["select_bias"], gamma)
            query = w["points"] * z[:, None]
            o = attention(query, h, w["wk"], w["wv"], w["wo"])
            h = norm(o + (query if layer == 0 else h), w["scale"], w["shift"])
            for i in range(N):
                f = attention(w["alpha"][i : i + 1], h, w["tk"][i], w["tv"][i], w["to"][i])[0]
                before = t[i]
                t[i] = norm(f if before is None else before + f, w["tscale"][i], w["tshift"][i])
        logits[b] = [t[i] @ weights["heads"][i] + weights["bias"][i] for i in range(N)]
    return logits


def named_weights(model: TAFE) -> dict[str, Any]:
    weights = {"table": model.embedding.table, "heads": model.heads.kernel, "bias": model.heads.bias}
    for i, (block, adapter) in enumerate(zip(model.blocks, model.adapters, strict=True)):
        for j, layer in enumerate(block.selector.hidden):
            weights |= {f"{i}/hidden{j}": layer.kernel, f"{i}/hidden{j}_bias": layer.bias}
        a, select = block.attention, block.selector.projection
        weights |= {f"{i}/select": select.kernel, f"{i}/select_bias": select.bias, f"{i}/points": a.inducing_points}
        weights |= {f"{i}/wk": a.key, f"{i}/wv": a.value, f"{i}/wo": a.output_projection}
        weights |= {f"{i}/scale": block.norm.gamma, f"{i}/shift": block.norm.beta, f"{i}/alpha": adapter.indicators}
        weights |= {f"{i}/tk": adapter.key, f"{i}/tv": adapter.value, f"{i}/to": adapter.output_projection}
        weights |= {f"{i}/tscale": adapter.scale, f"{i}/tshift": adapter.shift}
    return weights


def twin_loss(weights: dict[str, np.ndarray], ids: np.ndarray, labels: np.ndarray, rows: np.ndarray, gamma: float) -> float:
    f = 1 / (1 + np.exp(-twin(weights, ids, gamma)))
    bce = -(labels * np.log(f) + (1 - labels) * np.log(1 - f)) @ np.array([1.0, 2.0, 0.5])
    dependence = ((f[:, :-1] - f[:, 1:] - (labels[:, :-1] - labels[:, 1:])) ** 2).sum(axis=1)
    return float(np.mean(rows * (bce + 0.8 * dependence)))


@pytest.mark.parametrize("hidden", [(), (7, 4)])
def test_outputs_and_all_gradients_equal_the_twin(hidden: tuple[int, ...]) -> None:
    model = randomized(tiny(selector_hidden=hidden))
    ids, labels, rows = batch()
    variables = named_weights(model)
    assert len(variables) == len(model.trainable_weights)
    gamma = float(model.gamma.value())
    weights = {name: np.array(v) for name, v in variables.items()}
    z = np.array(model.blocks[0].selector(model.embedding(ids), model.gamma.value()))
    assert (z == 0).any() and (z == 1).any() and ((z > 0) & (z < 1)).any()  # all three pieces of eq. 16

    loss = FunnelLoss([1.0, 2.0, 0.5], 0.8, dtype="float64")
    with tf.GradientTape() as tape:
        logits = model(ids)
        value = loss(labels, logits, sample_weight=rows)
    np.testing.assert_allclose(logits, twin(weights, ids, gamma), rtol=0, atol=1e-10)
    np.testing.assert_allclose(value, twin_loss(weights, ids, labels, rows, gamma), rtol=1e-12)

    gradients = tape.gradient(value, [v.value for v in variables.values()])
    rng = np.random.default_rng(2)
    for name, gradient in zip(variables, gradients, strict=True):
        got = tf.convert_to_tensor(gradient).numpy()
        for _ in range(4):  # derivatives along random directions see every element
            direction = rng.normal(size=got.shape)
            expected = central_difference(lambda w: twin_loss(w, ids, labels, rows, gamma), weights, name, direction)
            np.testing.assert_allclose((got * direction).sum(), expected, rtol=1e-6, atol=1e-8, err_msg=name)


def central_difference(
    f: Callable[[dict[str, np.ndarray]], float], weights: dict[str, np.ndarray], name: str, direction: np.ndarray
) -> float:
    step = 1e-5
    up, down = ({**weights, name: weights[name] + sign * step * direction} for sign in (1, -1))
    return (f(up) - f(down)) / (2 * step)


def test_paper_size() -> None:
    model = TAFE(ALI_CCP, 2)
    table = int(np.prod(model.embedding.table.shape))
    dense = sum(int(np.prod(w.shape)) for w in model.trainable_weights) - table
    assert (table, dense) == (23_095_620, 259_062)
    assert round((table + dense) * 4 / 2**20, 2) == 89.09


def test_permuting_fields_with_their_tables_changes_nothing() -> None:
    model = randomized(tiny())
    ids, _, _ = batch()
    order = [2, 0, 1]
    other = tiny()
    other = TAFE([ROWS[f] for f in order], N, **{k: v for k, v in other.get_config().items() if k in SETTINGS}, dtype="float64")
    for target, source in zip(other.weights, model.weights, strict=True):
        target.assign(np.zeros(target.shape) if target is other.embedding.table else source)
    starts = np.cumsum([0, *ROWS])
    table = np.array(model.embedding.table)
    other.embedding.table.assign(np.concatenate([table[starts[f] : starts[f + 1]] for f in order]))
    kernel = np.array(model.blocks[0].selector.projection.kernel).reshape(len(ROWS), D, K)
    other.blocks[0].selector.projection.kernel.assign(kernel[order].reshape(-1, K))
    np.testing.assert_allclose(other(ids[:, order]), model(ids), rtol=0, atol=1e-12)


SETTINGS = ("embedding_dim", "num_inducing", "num_heads", "num_layers", "gamma_start")


def test_one_row_answers_as_in_a_batch() -> None:
    model = randomized(tiny())
    ids, _, _ = batch(5)
    assert model(ids[:1]).shape == (1, N)
    np.testing.assert_allclose(np.concatenate([model(ids[i : i + 1]) for i in range(5)]), model(ids), atol=1e-12)


def test_training_advances_gamma_and_only_training() -> None:
    model = tiny(gamma_start=10.0, gamma_decay_steps=100.0)
    ids, _, _ = batch()
    model(ids)
    assert float(model.gamma.value()) == 10.0
    model(ids, training=True)
    assert float(model.gamma.value()) == pytest.approx(9.9, abs=1e-6)


def test_tasks_and_layers_start_different() -> None:
    model = tiny()
    for adapter in model.adapters:
        for weight in (adapter.indicators, adapter.key, adapter.value, adapter.output_projection):
            assert not np.allclose(weight[0], weight[1])
    assert not np.allclose(model.blocks[1].attention.key, model.blocks[2].attention.key)
    assert not np.allclose(model.blocks[1].attention.key, model.blocks[1].attention.value)


def test_the_seed_fixes_the_start() -> None:
    starts = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        starts.append(np.array(tiny()(batch()[0])))
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.allclose(starts[0], starts[2])


def test_tasks_do_not_read_each_other() -> None:
    model = randomized(tiny())
    with tf.GradientTape() as tape:
        logit = model(batch()[0])[:, 0]
    for gradient in tape.gradient(logit, [a.indicators.value for a in model.adapters]):
        assert np.abs(gradient[0]).max() > 0
        assert np.abs(gradient[1:]).max() == 0


def test_config_and_file_round_trip(tmp_path: pathlib.Path) -> None:
    model = randomized(tiny(selector_hidden=[3], slots=[1, 2, 1]))
    inputs = {"ids": np.array([[0, 1, 2, 4]], np.int32), "weights": np.array([[1.0, 0.5, 0.5, 1.0]])}
    model(inputs, training=True)
    assert TAFE.from_config(model.get_config()).get_config() == model.get_config()
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert int(loaded.gamma.step) == 1


def test_mixed_precision_keeps_float32_weights_and_logits() -> None:
    model = tiny(dtype="mixed_bfloat16")
    logits = model(batch()[0], training=True)
    assert logits.dtype == tf.float32 and np.isfinite(logits).all()
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


def test_fits_in_plain_keras() -> None:
    keras.utils.set_random_seed(0)
    model = tiny(dtype="float32")
    ids, labels, _ = batch(64)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=FunnelLoss())
    losses = model.fit(ids, labels, batch_size=16, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"num_heads": 4}, r"`num_heads` must divide the dimension 6. Received: num_heads=4"),
        ({"num_layers": 0}, r"`num_layers` 1 or more. Received: num_tasks=3, num_layers=0"),
        ({"gamma_start": -1.0}, r"`start` >= `end` > 0 .* Received: start=-1.0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        tiny(**change)
