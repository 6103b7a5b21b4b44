"""The baselines against NumPy twins, and what must hold for all of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.layers import CrossStitch, DSelectKGates, Towers
from tafe_tf.models import (
    AITM,
    ESCM2,
    ESM2,
    ESMM,
    MMOE,
    PLE,
    CrossStitchNetwork,
    FunnelModel,
    SharedBottom,
    SingleTask,
)

ROWS, D, N, B = [4, 3, 5], 4, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
# The last column is an action between the first step and the second; only ESM2 reads it.
LABELS = np.array(
    [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], float
)
MADE: dict[str, Callable[..., FunnelModel]] = {
    "shared_bottom": lambda **kw: SharedBottom(
        ROWS, N, D, bottom_units=[7, 5], tower_units=[4, 3], **kw
    ),
    "single_task": lambda **kw: SingleTask(ROWS, N, D, tower_units=[6, 5], **kw),
    "mmoe": lambda **kw: MMOE(
        ROWS, N, D, num_experts=4, expert_units=[6, 5], tower_units=[3], **kw
    ),
    "mmoe+dselect_k": lambda **kw: MMOE(
        ROWS, N, D, num_experts=4, expert_units=[6, 5], tower_units=[3], gate="dselect_k", **kw
    ),
    "aitm": lambda **kw: AITM(ROWS, N, D, tower_units=[6, 5], **kw),
    "cross_stitch": lambda **kw: CrossStitchNetwork(ROWS, N, D, tower_units=[6, 5, 3], **kw),
    "esmm": lambda **kw: ESMM(ROWS, N, D, tower_units=[6, 5], **kw),
    "escm2": lambda **kw: ESCM2(ROWS, N, D, tower_units=[6, 5], **kw),
    "escm2+dr": lambda **kw: ESCM2(ROWS, N, D, estimator="dr", tower_units=[6, 5], **kw),
    "esm2": lambda **kw: ESM2(ROWS, N, D, via=[1], tower_units=[6, 5], **kw),
    "ple": lambda **kw: PLE(
        ROWS,
        N,
        D,
        num_levels=3,
        num_specific=2,
        num_shared=3,
        expert_units=[6, 5],
        tower_units=[3],
        **kw,
    ),
}


@pytest.fixture(params=MADE)
def model(request: pytest.FixtureRequest) -> FunnelModel:
    """In float64, with weights of size 1 that no symmetry ties."""
    made = MADE[request.param](dtype="float64")
    rng = np.random.default_rng(3)
    for variable in made.trainable_variables:
        variable.assign(rng.normal(scale=0.7, size=variable.shape))
    return made


# The twins, row by row and expert by expert.


def embed(layer: Any, row: np.ndarray) -> np.ndarray:
    table = layer.table.numpy()
    return np.concatenate([table[offset + i] for offset, i in zip(layer.offsets, row, strict=True)])


def mlp(towers: Any, t: int, x: np.ndarray) -> np.ndarray:
    for kernel, bias in zip(towers.kernels, towers.biases, strict=True):
        x = np.maximum(x @ kernel.numpy()[t] + bias.numpy()[t], 0.0)
    return x


def mix(gates: Any, g: int, x: np.ndarray, experts: list[np.ndarray]) -> np.ndarray:
    if isinstance(gates, DSelectKGates):
        return np.asarray(dselect_k(gates, g, x) @ np.array(experts))
    scores = np.exp(x @ gates.kernel.numpy()[g])
    return np.asarray(scores / scores.sum() @ np.array(experts))


def dselect_k(gates: Any, g: int, x: np.ndarray) -> np.ndarray:
    """Weights of 4 experts by 2 selectors of 2 bits, the paper's smooth step as it is written (gamma 1)."""
    t, scores = x @ gates.kernel.numpy()[g], np.exp(x @ gates.mixing.numpy()[g])
    s = np.where(t <= -0.5, 0.0, np.where(t >= 0.5, 1.0, -2 * t**3 + 1.5 * t + 0.5)).reshape(2, 2)
    of_bits = [[1 - step, step] for step in s.T]  # [bit][value][k]
    selectors = np.array([of_bits[0][e & 1] * of_bits[1][e >> 1] for e in range(4)]).T
    return np.asarray(scores / scores.sum() @ selectors)


def head(model: Any, t: int, x: np.ndarray) -> float:
    return float(x @ model.heads.kernel.numpy()[t] + model.heads.bias.numpy()[t])


def twin(model: Any, row: np.ndarray) -> list[float]:
    if isinstance(model, SingleTask):
        return [
            head(model, t, mlp(model.towers, t, embed(model.embeddings[t], row))) for t in range(N)
        ]
    x = embed(model.embedding, row)
    if isinstance(model, SharedBottom):
        shared = mlp(model.bottom, 0, x)
        return [head(model, t, mlp(model.towers, t, shared)) for t in range(N)]
    if isinstance(model, MMOE):
        experts = [mlp(model.experts, e, x) for e in range(4)]
        return [
            head(model, t, mlp(model.towers, t, mix(model.gates, t, x, experts))) for t in range(N)
        ]
    if isinstance(model, AITM):
        return aitm_twin(model, x)
    if isinstance(model, CrossStitchNetwork):
        return cross_stitch_twin(model, x)
    if isinstance(model, (ESMM, ESCM2, ESM2)):
        return product_twin(model, x)
    tasks, shared = [x] * N, x
    for level in range(3):
        own = [
            [mlp(model.specific[level], 2 * t + e, tasks[t]) for e in range(2)] for t in range(N)
        ]
        common = [mlp(model.shared[level], e, shared) for e in range(3)]
        tasks = [mix(model.task_gates[level], t, tasks[t], own[t] + common) for t in range(N)]
        if level < 2:
            shared = mix(
                model.shared_gates[level],
                0,
                shared,
                [e for experts in own for e in experts] + common,
            )
    return [head(model, t, mlp(model.towers, t, tasks[t])) for t in range(N)]


def aitm_twin(model: Any, x: np.ndarray) -> list[float]:
    z = mlp(model.towers, 0, x)
    logits = [head(model, 0, z)]
    for i in range(1, N):
        h1, h2, h3 = np.split(model.projections[i - 1].kernel.numpy(), 3, axis=1)
        both = [mlp(model.hand_on[i - 1], 0, z), mlp(model.towers, i, x)]
        scores = np.exp([(u @ h1) @ (u @ h2) / np.sqrt(5) for u in both])
        z = sum(score / scores.sum() * (u @ h3) for score, u in zip(scores, both, strict=True))
        logits.append(head(model, i, z))
    return logits


def cross_stitch_twin(model: Any, x: np.ndarray) -> list[float]:
    each = [x] * N
    for level, stitch in zip(model.levels, [*model.stitches, None], strict=True):
        each = [mlp(level, t, each[t]) for t in range(N)]
        if stitch is not None:
            alpha = stitch.alpha.numpy()
            each = [sum(alpha[i, j] * each[j] for j in range(N)) for i in range(N)]
    return [head(model, t, each[t]) for t in range(N)]


def product_twin(model: Any, x: np.ndarray) -> list[float]:
    """In probabilities, not in log space."""
    p = [
        1 / (1 + np.exp(-head(model, t, mlp(model.towers, t, x))))
        for t in range(model.heads.bias.shape[0])
    ]
    if isinstance(model, ESM2):
        p[1] = (1 - p[3]) * p[1] + p[3] * p[4]  # otherwise, or by the action
    f = np.cumprod(p[:N])
    return list(np.log(f / (1 - f)))


def test_logits_equal_the_twins(model: FunnelModel) -> None:
    expected = np.array([twin(model, row) for row in IDS])
    np.testing.assert_allclose(model(IDS), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(model(IDS[:1]), expected[:1], rtol=0, atol=1e-12)


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
    twice = float(
        loss(np.repeat(LABELS, 2, axis=0), model(np.repeat(IDS, 2, axis=0), training=True))
    )
    assert twice == pytest.approx(whole, rel=1e-6)  # the loss computes in float32


@pytest.mark.parametrize("name", MADE)
def test_towers_and_experts_differ_at_step_0(name: str) -> None:
    keras.utils.set_random_seed(0)
    kernels = [
        v for v in MADE[name]().trainable_variables if "kernel" in v.name and len(v.shape) == 3
    ]
    assert kernels
    for kernel in kernels:
        flat = kernel.numpy().reshape(kernel.shape[0], -1)
        assert len(np.unique(flat, axis=0)) == len(flat), kernel.path
    tables = [v.numpy() for v in MADE[name]().trainable_variables if v.name == "table"]
    assert len({table.tobytes() for table in tables}) == len(tables)


def test_towers_start_as_glorot_does() -> None:
    """Each tower for itself: the spread of a kernel does not depend on how many there are."""
    keras.utils.set_random_seed(0)
    for count in (1, 16):
        towers = Towers(count, [300])
        towers.build((None, 200))
        kernel = towers.kernels[0].numpy()
        assert kernel.std() == pytest.approx(np.sqrt(2.0 / 500), rel=0.02)


def test_single_tasks_do_not_meet() -> None:
    single = MADE["single_task"](dtype="float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(single(IDS)[:, 1])
    tables = [layer.table.value for layer in single.embeddings]
    gradients = tape.gradient(loss, tables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert [bool(np.any(np.array(tf.convert_to_tensor(g)))) for g in gradients] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("name", MADE)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: pathlib.Path) -> None:
    made = MADE[name](dropout=0.1)
    made.shift_logits(np.arange(N, dtype=np.float32))
    made.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IDS), made(IDS))
    assert loaded.get_config() == made.get_config()
    assert np.any(np.array(made(IDS, training=True))[:, :N] != np.array(made(IDS)))  # dropout


@pytest.mark.parametrize("name", MADE)
def test_fit_learns(name: str) -> None:
    keras.utils.set_random_seed(1)
    made = MADE[name]()
    made.compile(optimizer=keras.optimizers.Adam(0.02), loss=made.paper_loss(), jit_compile=False)
    first = made.fit(IDS, LABELS, batch_size=B, verbose=0).history["loss"][0]
    many = np.tile(IDS, (5, 1)), np.tile(LABELS, (5, 1))
    last = made.fit(*many, batch_size=B, epochs=30, shuffle=False, verbose=0).history["loss"][-1]
    assert last < 0.6 * first


def test_dselect_k_ends_with_k_experts() -> None:
    """Where the smooth steps are saturated, each selector gives all its weight to the expert of its bits."""
    gates = DSelectKGates(1, num_selected=2, entropy_weight=0.5)
    gates.build((None, 1), (None, 8, 3))
    gates.kernel.assign(
        [[[1.0, -1.0, 1.0, -1.0, 1.0, 1.0]]]
    )  # bits 1 0 1 and 0 1 1: experts 5 and 6
    gates.mixing.assign([[[0.0, np.log(3.0)]]])
    np.testing.assert_allclose(
        gates.weights_of(np.ones((1, 1)))[0, 0], [0, 0, 0, 0, 0, 0.25, 0.75, 0], atol=1e-6
    )
    assert float(gates.losses[0]) == pytest.approx(0.0, abs=1e-5)
    gates.kernel.assign(np.zeros((1, 1, 6)))  # every bit even: log 8 a selector
    gates(np.ones((4, 1)), np.ones((4, 8, 3)))
    assert float(gates.losses[-1]) == pytest.approx(0.5 * 2 * np.log(8.0), rel=1e-4)


def test_cross_stitches_start_as_their_paper_has_them() -> None:
    stitch = CrossStitch()
    stitch.build((None, 3, 2))
    x = np.array([[[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]])
    np.testing.assert_allclose(
        stitch(x)[0, 0], 0.9 * x[0, 0] + 0.05 * (x[0, 1] + x[0, 2]), rtol=1e-6
    )


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"`num_tasks` must be 2 or more. Received: num_tasks=1"):
        MMOE(ROWS, 1)
    with pytest.raises(
        ValueError, match=r"must be a power of two, .* Received: 3 experts, num_selected=2"
    ):
        MMOE(ROWS, 2, num_experts=3, gate="dselect_k")
    with pytest.raises(
        ValueError, match=r"`gate` must be 'softmax' or 'dselect_k'. Received: gate='top_k'"
    ):
        MMOE(ROWS, 2, gate="top_k")
    with pytest.raises(
        ValueError, match=r"`estimator` must be 'ips', 'dr' or 'naive'. Received: estimator='snips'"
    ):
        ESCM2(ROWS, 2, estimator="snips")
    with pytest.raises(
        ValueError, match=r"`via` must hold different steps from 1 to 1. Received: via=\[0\]"
    ):
        ESM2(ROWS, 2, via=[0])
    with pytest.raises(ValueError, match=r"`units` must be 1 or more. Received: count=0"):
        MMOE(ROWS, 2, num_experts=0)


@pytest.mark.parametrize("rows", [1, 2, B])
def test_a_batch_in_pieces_gives_the_logits_and_gradients_of_the_whole(
    model: FunnelModel, rows: int
) -> None:
    seen, loss = [], model.paper_loss()
    for pieces in (1, 4):
        model.pieces = pieces
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


def test_an_own_loss_counts_once_in_pieces() -> None:
    model = MADE["mmoe+dselect_k"](entropy_weight=0.5)
    model(IDS, training=True)
    whole = float(sum(model.losses))
    model.pieces = 2
    model(IDS, training=True)
    assert float(sum(model.losses)) == pytest.approx(whole, rel=1e-5)
