"""LazyAdam against dense Adam and against lazy Adam in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins.optimizers import lazy_adam

from tafe_tf.layers import FusedEmbedding
from tafe_tf.optimizers import LazyAdam, LinearDecay, round_by_chance

ROWS, DIM = 6, 3


def table(dtype: str = "float32") -> keras.Variable:
    return keras.Variable(
        np.random.default_rng(0).normal(size=(ROWS, DIM)), dtype=dtype, name="table"
    )


def slices(ids: list[int], seed: int, dtype: str = "float32") -> tf.IndexedSlices:
    values = np.random.default_rng(seed).normal(size=(len(ids), DIM))
    return tf.IndexedSlices(tf.constant(values, dtype), tf.constant(ids), tf.constant([ROWS, DIM]))


def moments(optimizer: keras.optimizers.Adam) -> tuple[np.ndarray, np.ndarray]:
    return optimizer._momentums[0].numpy(), optimizer._velocities[0].numpy()


def test_equals_dense_adam_where_every_row_is_touched() -> None:
    lazy, dense = (table(), LazyAdam(0.05)), (table(), keras.optimizers.Adam(0.05))
    rng = np.random.default_rng(1)
    for step in range(40):
        ids = rng.permutation([*range(ROWS), 0, 0, 3]).tolist()  # with duplicates
        gradient = slices(ids, seed=step)
        lazy[1].apply_gradients([(gradient, lazy[0])])
        dense[1].apply_gradients([(tf.convert_to_tensor(gradient), dense[0])])
    assert np.abs(lazy[0].numpy() - table().numpy()).max() > 0.1
    np.testing.assert_allclose(lazy[0], dense[0], rtol=1e-5, atol=1e-6)  # 40 steps of rounding


@pytest.mark.parametrize("static_shapes", [False, True], ids=["hashed", "sorted"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "function"])
def test_equals_lazy_adam_in_numpy(graph: bool, static_shapes: bool) -> None:
    hyper = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-5}
    optimizer, variable = LazyAdam(0.25, static_shapes=static_shapes, **hyper), table("float64")
    optimizer.build([variable])
    rng = np.random.default_rng(2)
    steps = [slices(rng.integers(0, ROWS, 4).tolist(), seed, "float64") for seed in range(12)]
    assert any(len(set(s.indices.numpy())) < 4 for s in steps)

    def apply(gradient: tf.IndexedSlices) -> None:
        optimizer.apply_gradients([(gradient, variable)])

    run = tf.function(apply) if graph else apply
    for gradient in steps:
        run(gradient)
    want = lazy_adam(table("float64").numpy(), steps, rate=0.25, **hyper)
    np.testing.assert_allclose(variable, want, rtol=1e-12, atol=1e-14)
    assert int(optimizer.iterations) == 12


def test_untouched_rows_rest_bit_for_bit() -> None:
    optimizer, variable = LazyAdam(0.1), table()
    optimizer.apply_gradients([(slices([0, 1, 2, 3, 4, 5], seed=0), variable)])
    before = [a.copy() for a in (variable.numpy(), *moments(optimizer))]
    for step in range(3):
        optimizer.apply_gradients([(slices([4, 1, 4], seed=step), variable)])
    for old, new in zip(before, (variable.numpy(), *moments(optimizer)), strict=True):
        np.testing.assert_array_equal(new[[0, 2, 3, 5]], old[[0, 2, 3, 5]])
        assert (new[[1, 4]] != old[[1, 4]]).all()


def test_duplicate_rows_count_as_their_sum() -> None:
    twice, once = table(), table()
    values = tf.constant([[1.0, -2.0, 3.0], [0.5, 5.0, -3.0]])
    LazyAdam(0.1).apply_gradients([(tf.IndexedSlices(values, tf.constant([2, 2])), twice)])
    LazyAdam(0.1).apply_gradients(
        [(tf.IndexedSlices(tf.reduce_sum(values, 0)[None], tf.constant([2])), once)]
    )
    np.testing.assert_array_equal(twice, once)
    # the sum is (1.5, 3, 0): the first step of Adam is the rate times its sign
    np.testing.assert_allclose(twice[2] - table()[2], [-0.1, -0.1, 0.0], rtol=1e-5)


def test_dense_gradients_get_adam() -> None:
    lazy, dense = (table(), LazyAdam(0.05)), (table(), keras.optimizers.Adam(0.05))
    for step in range(5):
        gradient = tf.convert_to_tensor(slices([1, 3], seed=step))  # zero rows move on: dense
        for variable, optimizer in (lazy, dense):
            optimizer.apply_gradients([(gradient, variable)])
    # the fused operation takes 1 - beta_2 of float32 numbers, which is 1.3e-5 off Keras's 0.001
    np.testing.assert_allclose(lazy[0], dense[0], rtol=0, atol=5 * 0.05 * 1.3e-5)
    for ours, theirs in zip(moments(lazy[1]), moments(dense[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("schedule", [False, True], ids=["constant", "schedule"])
def test_a_further_dense_weight_costs_few_operations(schedule: bool) -> None:
    rate = LinearDecay(0.1, steps=100) if schedule else 0.1

    def operations(count: int) -> int:
        weights = [table() for _ in range(count)]
        optimizer = LazyAdam(rate)
        optimizer.build(weights)

        def apply(gradient: tf.Tensor) -> None:
            optimizer.apply([gradient] * count, weights)

        spec = tf.TensorSpec([ROWS, DIM])
        graph = tf.function(apply).get_concrete_function(spec).graph
        return len(graph.get_operations())

    # three handles, the gradient's sum over replicas, and the operation; to trace one takes 0.3 ms
    assert operations(5) - operations(3) <= 2 * 5


def test_follows_a_learning_rate_schedule() -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.5, 0.25, 0.0])
    optimizer, variable = LazyAdam(schedule), table()
    gradient = tf.IndexedSlices(tf.ones([1, DIM]), tf.constant([2]))
    places = [variable.numpy()[2, 0]]
    for _ in range(3):
        optimizer.apply_gradients([(gradient, variable)])
        places.append(variable.numpy()[2, 0])
    # under a constant gradient each step of Adam is the present rate, up to 1 - beta_2^t in float32
    np.testing.assert_allclose(np.diff(places), [-0.5, -0.25, 0.0], rtol=1e-4)


def test_config_round_trip() -> None:
    optimizer = LazyAdam(0.3, beta_1=0.7, beta_2=0.9, epsilon=1e-4)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is LazyAdam and again.get_config() == optimizer.get_config()


def test_state_restores_exactly() -> None:
    one, other = (table(), LazyAdam(0.1)), (table(), LazyAdam(0.1))
    for step in range(3):
        one[1].apply_gradients([(slices([1, 2], seed=step), one[0])])
    other[1].build([other[0]])
    other[0].assign(one[0])
    for source, target in zip(one[1].variables, other[1].variables, strict=True):
        target.assign(source)
    for variable, optimizer in (one, other):
        optimizer.apply_gradients([(slices([2, 5], seed=9), variable)])
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_no_tensor_of_a_step_has_the_vocabularys_size(dtype: str) -> None:
    embedding = FusedEmbedding([1234, 4321], DIM, dtype=dtype)
    embedding.build()
    optimizer = LazyAdam()
    optimizer.build(embedding.trainable_variables)

    def step(ids: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(embedding(ids)))
        gradient = tape.gradient(loss, embedding.table.value)
        optimizer.apply_gradients([(gradient, embedding.table)])

    graph = (
        tf.function(step, input_signature=[tf.TensorSpec([8, 2], tf.int32)])
        .get_concrete_function()
        .graph
    )
    operations = graph.get_operations()
    assert {"ResourceGather", "ResourceScatterSub", "ResourceScatterUpdate"} <= {
        op.type for op in operations
    }
    large = [
        op.name
        for op in operations
        for out in op.outputs
        if 1234 + 4321 in (out.shape.as_list() or [])
    ]
    assert not large


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_by_chance_is_right_in_the_mean(dtype: str) -> None:
    x = np.repeat(
        np.array([0.1, -0.1, 1.0, 0.999, -3e-4, 1.5], np.float32)[:, None], 40_000, axis=1
    )
    low = tf.dtypes.as_dtype(dtype)
    rounded = round_by_chance(tf.constant(x), low, tf.constant([3, 0]))
    assert rounded.dtype == low
    seen = tf.cast(rounded, tf.float32).numpy().astype(np.float64)
    unit = np.exp2(np.floor(np.log2(np.abs(x[:, 0]))) - (7 if dtype == "bfloat16" else 10))
    assert (
        np.abs(seen - x) < unit[:, None]
    ).all()  # a neighbour of x, and x itself where it can be
    np.testing.assert_array_less(
        np.abs(seen.mean(axis=1) - x[:, 0]), 0.5 / np.sqrt(40_000) * 5 * unit
    )
    assert [len(np.unique(row)) for row in seen] == [2, 2, 1, 2, 2, 1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_follows_float32_where_single_steps_are_lost_in_rounding(dtype: str) -> None:
    """512 steps of 1e-4 from 1: to the nearest, a step of 1/40 (1/5) of a unit would be lost."""
    low = keras.Variable(np.ones((400, 1)), dtype=dtype, name="low")
    full = keras.Variable(np.ones((400, 1)), dtype="float32", name="full")
    optimizers = LazyAdam(1e-4), LazyAdam(1e-4)
    gradient = tf.IndexedSlices(tf.ones([300, 1]), tf.range(300), tf.constant([400, 1]))
    for _ in range(512):
        for variable, optimizer in zip((low, full), optimizers, strict=True):
            optimizer.apply_gradients([(gradient, variable)])
    for one, other in zip(moments(optimizers[0]), moments(optimizers[1]), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    values = low.numpy().astype(np.float64)
    assert (values[300:] == 1).all() and (full.numpy()[:300] < 0.95).all()
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11  # from 1/2 to 1
    expected_error = (
        5 * np.sqrt(512 * 1e-4 / unit) * unit / np.sqrt(300)
    )  # each unit of the way is a draw
    assert abs(values[:300].mean() - full.numpy()[:300].mean()) < expected_error


def test_half_precision_under_a_dense_gradient() -> None:
    low, full = table("bfloat16"), table()
    optimizers = LazyAdam(0.05), keras.optimizers.Adam(0.05)
    for step in range(20):
        gradient = tf.convert_to_tensor(slices([*range(ROWS)], seed=step))
        optimizers[0].apply_gradients([(tf.cast(gradient, "bfloat16"), low)])
        optimizers[1].apply_gradients([(gradient, full)])
    assert np.abs(full.numpy() - table().numpy()).max() > 0.1
    np.testing.assert_allclose(
        low.numpy().astype(np.float32), full.numpy(), atol=0.03
    )  # 1 is kept within 2^-7


def test_half_precision_repeats_itself_from_a_step_on() -> None:
    one, other = (table("bfloat16"), LazyAdam(0.1)), (table("bfloat16"), LazyAdam(0.1))
    for step in range(3):
        one[1].apply_gradients([(slices([1, 2], seed=step), one[0])])
    other[1].build([other[0]])
    other[0].assign(one[0])
    for source, target in zip(one[1].variables, other[1].variables, strict=True):
        target.assign(source)
    for variable, optimizer in (one, other):
        for step in range(3):
            optimizer.apply_gradients([(slices([2, 5], seed=step), variable)])
    np.testing.assert_array_equal(one[0], other[0])


def test_amsgrad_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LazyAdam has no `amsgrad`. Received: amsgrad=True"):
        LazyAdam(amsgrad=True)
