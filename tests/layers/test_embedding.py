"""The embedding table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from layer_calls import build, call
from registry import IDS, LAYERS, B, D

from tafe_tf.layers import FusedEmbedding


def test_embedding_looks_up_each_field_in_its_own_rows() -> None:
    layer = build(LAYERS["embedding"])
    table, starts = layer.table.numpy(), [0, 3, 7, 9, 12]
    want = [[table[starts[f] + IDS[b, f]] for f in range(5)] for b in range(B)]
    np.testing.assert_array_equal(call(layer, (IDS,)), want)
    assert table.shape == (15, D)


def test_embedding_pools_lists_by_their_weights() -> None:
    case = LAYERS["embedding of lists"]
    layer = build(case, dtype="float64")
    table, weights = layer.table.numpy(), case.arguments[0]["weights"]
    want = np.zeros((B, 2, D))
    for b in range(B):
        for slot in range(5):
            field, start = (0, 0) if slot < 2 else (1, 4)
            want[b, field] += weights[b, slot] * table[start + IDS[b, slot]]
    np.testing.assert_allclose(call(layer, case.arguments, "float64"), want, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_table_is_sparse() -> None:
    layer = build(LAYERS["embedding"], dtype="mixed_bfloat16")
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
    ],
)
def test_errors(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
