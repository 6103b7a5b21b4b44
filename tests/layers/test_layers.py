"""The layers against literal NumPy of the paper's equations, and a registry of tiny cases for what all must do."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.layers import (
    ASRG,
    FusedEmbedding,
    GammaSchedule,
    InducingPointAttention,
    SmoothStepSelector,
    TaskSpecificAdapter,
)
from tafe_tf.layers import attention as attention_file
from tafe_tf.layers.selector import smooth_step
from tafe_tf.models import TAFE

B, F, D, K, M, N = 4, 5, 6, 3, 2, 3


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


class Case(NamedTuple):
    make: Callable[..., keras.layers.Layer]
    arguments: tuple[Any, ...]  # of the call, B rows each but for scalars
    half: str  # dtype of the output under mixed_bfloat16


IDS = np.array([[0, 1, 0, 2, 1], [2, 3, 1, 0, 0], [0, 0, 0, 0, 0], [2, 3, 1, 2, 2]])
CASES = {
    "embedding": Case(lambda **kw: FusedEmbedding([3, 4, 2, 3, 3], D, **kw), (IDS,), "bfloat16"),
    "embedding of lists": Case(
        lambda **kw: FusedEmbedding([4, 3], D, [2, 3], **kw),
        ({"ids": IDS, "weights": normal(B, 5)},),
        "bfloat16",
    ),
    "selector": Case(lambda **kw: SmoothStepSelector(K, **kw), (normal(B, F, D), 3.0), "float32"),
    "deep selector": Case(
        lambda **kw: SmoothStepSelector(K, (7, 4), **kw), (normal(B, F, D), 3.0), "float32"
    ),
    "attention": Case(
        lambda **kw: InducingPointAttention(K, M, **kw),
        (normal(B, F, D), normal(B, K) > 0),
        "bfloat16",
    ),
    "first block": Case(
        lambda **kw: ASRG(K, M, residual="query", **kw), (normal(B, F, D), 3.0), "bfloat16"
    ),
    "later block": Case(lambda **kw: ASRG(K, M, (4,), **kw), (normal(B, K, D), 3.0), "bfloat16"),
    "first adapter": Case(
        lambda **kw: TaskSpecificAdapter(N, M, **kw), (normal(B, K, D),), "bfloat16"
    ),
    "later adapter": Case(
        lambda **kw: TaskSpecificAdapter(N, M, **kw), (normal(B, K, D), normal(B, N, D)), "bfloat16"
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def build(case: Case, **kwargs: Any) -> keras.layers.Layer:
    """Built, with weights that differ from zero and one everywhere."""
    layer = case.make(**kwargs)
    layer.build(*keras.tree.map_structure(lambda x: (None, *x.shape[1:]), shapes(case.arguments)))
    layer.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])
    return layer


def shapes(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a for a in arguments if not isinstance(a, float))


def call(layer: keras.layers.Layer, arguments: Any, dtype: str = "float32") -> Any:
    def tensor(x: Any) -> Any:
        return tf.constant(x, "int32" if np.asarray(x).dtype.kind == "i" else dtype)

    return layer(*keras.tree.map_structure(tensor, arguments))


def weights_of(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    return {w.path.split("/", 1)[1]: w.numpy() for w in layer.weights}


@every_case
def test_config_round_trip(case: Case) -> None:
    layer = build(case)
    again = type(layer).from_config(layer.get_config())
    call(again, case.arguments)
    again.set_weights(layer.get_weights())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(call(again, case.arguments), call(layer, case.arguments))


@every_case
def test_one_row_alone_is_the_row_in_its_batch(case: Case) -> None:
    layer = build(case)
    one = keras.tree.map_structure(lambda x: x if isinstance(x, float) else x[1:2], case.arguments)
    batch, alone = call(layer, case.arguments), call(layer, one)
    assert alone.shape == (1, *batch.shape[1:])
    np.testing.assert_allclose(alone[0], batch[1], rtol=1e-5, atol=1e-6)
    assert np.abs(batch[1] - batch[0]).max() > 1e-3  # rows do differ


@every_case
def test_output_shape_is_what_it_says(case: Case) -> None:
    layer = build(case)
    first = case.arguments[0]
    shape = layer.compute_output_shape(
        keras.tree.map_structure(lambda x: (None, *x.shape[1:]), first)
    )
    assert tuple(shape) == (None, *call(layer, case.arguments).shape[1:])


@every_case
def test_half_precision(case: Case) -> None:
    layer = build(case, dtype="mixed_bfloat16")
    out = call(layer, case.arguments, "float32")
    assert out.dtype == case.half
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert np.isfinite(out.numpy().astype(float)).all()
    full = call(build(case), case.arguments)
    assert np.abs(out.numpy().astype(float) - full).max() < 0.1 * np.abs(full).max() + 0.05


@every_case
def test_double_precision_runs_end_to_end(case: Case) -> None:
    arguments = case.arguments
    double, single = (
        call(build(case, dtype=t), arguments, t).numpy() for t in ("float64", "float32")
    )
    assert double.dtype == np.float64
    assert np.abs(double - single).max() < 1e-4
    assert (double != double.astype(np.float32)).any()  # no float32 step on the way


# Eq. 16


def eq_16(z: float, gamma: float) -> float:
    if z <= -gamma / 2:
        return 0.0
    if z >= gamma / 2:
        return 1.0
    return -2 / gamma**3 * z**3 + 3 / (2 * gamma) * z + 0.5


@pytest.mark.parametrize("gamma", [10.0, 1.0, 1e-3])
def test_smooth_step_is_equation_16(gamma: float) -> None:
    z = gamma * np.linspace(-0.8, 0.8, 321)
    got = smooth_step(z, gamma).numpy()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, [eq_16(x, gamma) for x in z], rtol=0, atol=1e-14)
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
    want = [eq_16(float(x), 1e-3) for x in z.numpy()]
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


# Eq. 14-20


def softmax(x: np.ndarray) -> Any:
    e = np.exp(x - x.max())
    return e / e.sum()


def layer_norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Any:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-3) * scale + shift


def attend(
    query: np.ndarray,
    h: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    output: np.ndarray,
    heads: int = M,
) -> Any:
    """Eq. 18-19 for one query [d] and one sample [F, d], head by head, keys and values made."""
    e = len(query) // heads
    parts = []
    for j in range(heads):
        cut = slice(j * e, (j + 1) * e)
        keys, values = h @ key[:, cut], h @ value[:, cut]
        parts.append(softmax(keys @ query[cut] / np.sqrt(e)) @ values)
    return np.concatenate(parts) @ output


def attention_twin(w: dict[str, np.ndarray], h: np.ndarray, z: np.ndarray) -> np.ndarray:
    projections = w["key"], w["value"], w["output"]
    return np.array(
        [
            [
                attend(w["inducing_points"][k] * z[b, k], h[b], *projections)
                for k in range(len(w["inducing_points"]))
            ]
            for b in range(len(h))
        ]
    )


def test_attention_is_equations_17_to_19() -> None:
    case = CASES["attention"]
    layer = build(case, dtype="float64")
    h, z = normal(B, F, D), np.clip(normal(B, K, seed=9), 0, 1)
    got = call(layer, (h, z), "float64")
    np.testing.assert_allclose(got, attention_twin(weights_of(layer), h, z), rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_closed_form_gradients_are_those_of_automatic_differentiation(dtype: str) -> None:
    """To rounding in float64; in half precision, what both have lost is of one size."""
    rng = np.random.default_rng(4)
    shapes = [(3, 2 * 5, 6), (3, 7, 6), (3, 2, 7, 3)]  # B = 3, M = 2, K = 5, F = 7, d = 6, e = 3
    values = [rng.normal(size=shape) for shape in shapes]
    upstream = rng.normal(size=(3, 2, 5, 3))

    def gradients(function: Callable[..., Any], kind: str) -> list[np.ndarray]:
        arguments = [tf.cast(value, kind) for value in values]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            out = function(*arguments)
            total = tf.reduce_sum(out * tf.cast(upstream, kind))
        return [out, *tape.gradient(total, arguments)]

    exact = gradients(attention_file.attend, "float64")
    got, plain = (
        gradients(attention_file.attend_and_learn, dtype),
        gradients(attention_file.attend, dtype),
    )
    for want, ours, theirs in zip(exact, got, plain, strict=True):
        scale = np.abs(want).max()
        ours_off = np.abs(np.array(tf.cast(ours, tf.float64)) - want).max() / scale
        theirs_off = np.abs(np.array(tf.cast(theirs, tf.float64)) - want).max() / scale
        assert (
            ours_off
            <= {"float64": 1e-14, "float32": 1e-6, "bfloat16": 2 * theirs_off + 1e-3}[dtype]
        )


def test_training_takes_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def recorded(*arguments: Any) -> Any:
        taken.append(len(arguments))
        return attention_file.attend(*arguments)

    monkeypatch.setattr(attention_file, "attend_and_learn", recorded)
    model = TAFE([4, 3], 2, embedding_dim=6, num_inducing=3, num_layers=2)
    model(np.zeros((2, 2), int))
    assert taken == []
    model(np.zeros((2, 2), int), training=True)
    assert taken == [3, 3]


def test_a_row_that_the_selector_closes_attends_evenly() -> None:
    layer = build(CASES["attention"], dtype="float64")
    h, w = normal(B, F, D), weights_of(layer)
    got = call(layer, (h, np.array([[0.0, 1.0, 1.0]] * B)), "float64").numpy()
    evenly = h.mean(axis=1) @ w["value"] @ w["output"]
    np.testing.assert_allclose(got[:, 0], evenly, rtol=1e-11)
    assert np.abs(got[:, 1] - evenly).max() > 0.1


@pytest.mark.parametrize("name", ["first block", "later block"])
def test_block_is_equations_14_to_20(name: str) -> None:
    case = CASES[name]
    layer = build(case, dtype="float64")
    h, gamma = case.arguments
    w = {path.split("/", 1)[-1]: value for path, value in weights_of(layer).items()}
    scores = h.reshape(B, -1)
    for dense in [*layer.selector.hidden, layer.selector.projection]:
        scores = scores @ dense.kernel.numpy() + dense.bias.numpy()
        scores = np.maximum(scores, 0) if dense is not layer.selector.projection else scores
    z = np.array([[eq_16(x, gamma) for x in row] for row in scores])
    assert {0.0, 1.0} & set(z.flat) and ((z > 0) & (z < 1)).any()
    o = attention_twin(w, h, z)
    residual = h if name == "later block" else w["inducing_points"] * z[:, :, None]
    want = np.apply_along_axis(layer_norm, -1, o + residual, w["gamma"], w["beta"])
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-10, atol=1e-12)


# Eq. 21-22


@pytest.mark.parametrize("name", ["first adapter", "later adapter"])
def test_adapter_is_equations_21_and_22(name: str) -> None:
    case = CASES[name]
    layer = build(case, dtype="float64")
    w, (y, *before) = weights_of(layer), case.arguments
    want = np.zeros((B, N, D))
    for b in range(B):
        for i in range(N):
            f = attend(w["indicators"][i], y[b], w["key"][i], w["value"][i], w["output"][i])
            x = f + (before[0][b, i] if before else 0.0)
            want[b, i] = layer_norm(x, w["scale"][i], w["shift"][i])
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-10, atol=1e-12)


def test_a_task_depends_on_its_own_parameters_and_state_only() -> None:
    case = CASES["later adapter"]
    layer = build(case)
    y, t = (tf.constant(a, "float32") for a in case.arguments)
    with tf.GradientTape() as tape:
        tape.watch(t)
        out = layer(y, t)[:, 1]
        loss = tf.reduce_sum(out * tf.constant(normal(B, D, seed=3), "float32"))
    *parameters, state = tape.gradient(loss, [*(v.value for v in layer.trainable_variables), t])
    assert len(parameters) == 6
    for gradient in [*parameters, tf.transpose(state, (1, 0, 2))]:
        sizes = np.abs(gradient.numpy().reshape(N, -1)).sum(axis=1)
        assert sizes[0] == sizes[2] == 0.0 < sizes[1]


def test_tasks_start_apart() -> None:
    layer = TaskSpecificAdapter(N, M)
    layer.build((None, K, D))
    for w in (layer.indicators, layer.key, layer.value, layer.output_projection):
        assert np.abs(w.numpy()[0] - w.numpy()[1]).max() > 1e-3
        limit = np.sqrt(6 / (N + D)) if w is layer.indicators else np.sqrt(6 / (D + D))  # Glorot's
        assert 0.5 * limit < np.abs(w.numpy()).max() <= limit


# The table


def test_embedding_looks_up_each_field_in_its_own_rows() -> None:
    layer = build(CASES["embedding"])
    table, starts = layer.table.numpy(), [0, 3, 7, 9, 12]
    want = [[table[starts[f] + IDS[b, f]] for f in range(5)] for b in range(B)]
    np.testing.assert_array_equal(call(layer, (IDS,)), want)
    assert table.shape == (15, D)


def test_embedding_pools_lists_by_their_weights() -> None:
    case = CASES["embedding of lists"]
    layer = build(case, dtype="float64")
    table, weights = layer.table.numpy(), case.arguments[0]["weights"]
    want = np.zeros((B, 2, D))
    for b in range(B):
        for slot in range(5):
            field, start = (0, 0) if slot < 2 else (1, 4)
            want[b, field] += weights[b, slot] * table[start + IDS[b, slot]]
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_table_is_sparse() -> None:
    layer = build(CASES["embedding"], dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant(IDS)))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices) and gradient.values.dtype == tf.float32
    graph = tf.function(layer).get_concrete_function(tf.constant(IDS)).graph
    reads = [op for op in graph.get_operations() if op.type == "ReadVariableOp"]
    assert not reads  # a read would copy the table


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FusedEmbedding([], 4),
            r"`field_rows` must hold positive integers\. Received: field_rows=\[\]",
        ),
        (
            lambda: FusedEmbedding([3, 0], 4),
            r"`field_rows` must hold positive integers\. .*\[3, 0\]",
        ),
        (
            lambda: FusedEmbedding([3, 2], 4, [1]),
            r"`slots` must give one positive integer a field\. .*slots=\[1\]",
        ),
        (
            lambda: FusedEmbedding([3], 4, [0]),
            r"`slots` must give one positive integer a field\. .*slots=\[0\]",
        ),
        (
            lambda: call(FusedEmbedding([4], 4, [2]), (IDS[:, :2],)),
            r"fields with several slots need pooling weights",
        ),
        (
            lambda: ASRG(K, M, residual="none"),
            r"`residual` must be 'input' or 'query'\. Received: residual='none'",
        ),
        (
            lambda: ASRG(K, M).build((None, F, D)),
            r"residual='input' needs 3 input rows\. .*\(None, 5, 6\)",
        ),
        (
            lambda: InducingPointAttention(K, 4).build((None, F, D)),
            r"`num_heads` must divide the dimension 6\. .*=4",
        ),
        (
            lambda: TaskSpecificAdapter(N, 0).build((None, K, D)),
            r"`num_heads` must divide the dimension 6\. .*=0",
        ),
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
