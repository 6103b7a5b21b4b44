"""Lazy Adam against dense Adam and a NumPy twin."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.optimizers import LazyAdam

ROWS, D = 6, 3


def slices(rng: np.random.Generator, ids: np.ndarray) -> tf.IndexedSlices:
    values = rng.normal(size=(len(ids), D)).astype(np.float32)
    return tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant([ROWS, D]))


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(5)
    return [keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((ROWS, D), (4,))]


def test_equals_dense_adam_where_every_row_is_touched() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = variables(), variables()
    lazy, dense = LazyAdam(0.1), keras.optimizers.Adam(0.1)
    for _ in range(20):
        ids = rng.permutation(np.concatenate([np.arange(ROWS), rng.integers(0, ROWS, 5)]))  # with duplicates
        table, other = slices(rng, ids), tf.constant(rng.normal(size=4).astype(np.float32))
        lazy.apply([table, other], ours)
        dense.apply([tf.convert_to_tensor(table), other], theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_equals_a_twin_and_leaves_other_rows_alone() -> None:
    rng = np.random.default_rng(1)
    table, _ = variables()
    lazy = LazyAdam(0.05)
    twin = np.array(table, np.float64)
    m, v = np.zeros_like(twin), np.zeros_like(twin)

    @tf.function
    def step(gradient: tf.IndexedSlices) -> None:
        lazy.apply([gradient], [table])

    lazy.build([table])
    for t in range(1, 30):
        ids = rng.integers(0, ROWS, 4)
        gradient = slices(rng, ids)
        before = np.array(table), np.array(lazy._momentums[0]), np.array(lazy._velocities[0])
        step(gradient)
        g = np.array(tf.convert_to_tensor(gradient), np.float64)
        for row in set(ids.tolist()):
            m[row] = 0.9 * m[row] + 0.1 * g[row]
            v[row] = 0.999 * v[row] + 0.001 * g[row] ** 2
            twin[row] -= 0.05 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m[row] / (np.sqrt(v[row]) + 1e-7)
        rest = [row for row in range(ROWS) if row not in ids]
        for old, new in zip(before, (table, lazy._momentums[0], lazy._velocities[0]), strict=True):
            np.testing.assert_array_equal(np.array(new)[rest], old[rest])
    np.testing.assert_allclose(table, twin, rtol=0, atol=1e-5)  # 29 steps of float32 against float64


def test_step_does_not_touch_the_whole_table() -> None:
    """No op of the update gives a tensor of the table's size: the cost does not depend on the vocabulary."""
    table = keras.Variable(np.zeros((1001, D), np.float32))
    lazy = LazyAdam()
    lazy.build([table])

    @tf.function
    def step(ids: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, ids) ** 2)
        lazy.apply(tape.gradient(loss, [table.value]), [table])

    graph = step.get_concrete_function(tf.TensorSpec([None], tf.int32)).graph
    large = [op.name for op in graph.get_operations() for out in op.outputs if out.shape.rank and out.shape[0] == 1001]
    assert large == []


def test_learning_rate_schedule_and_config() -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])
    table, _ = variables()
    lazy = LazyAdam(schedule)
    lazy.apply([slices(np.random.default_rng(2), np.array([0]))], [table])
    moved = np.array(table)
    lazy.apply([slices(np.random.default_rng(3), np.array([0]))], [table])
    np.testing.assert_array_equal(table, moved)  # the rate is 0 from step 1 on
    config = LazyAdam(0.3, beta_1=0.8).get_config()
    assert LazyAdam.from_config(config).get_config() == config
