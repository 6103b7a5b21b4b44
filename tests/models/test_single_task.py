"""Single-Task."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from registry import make

IDS = np.array([[1, 2, 4], [3, 0, 0]])


def test_single_tasks_do_not_meet() -> None:
    single = make("single_task", [4, 3, 5], 3, dtype="float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(single(IDS)[:, 1])
    tables = [layer.table.value for layer in single.embeddings]
    gradients = tape.gradient(loss, tables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert [bool(np.any(np.array(tf.convert_to_tensor(g)))) for g in gradients] == [
        False,
        True,
        False,
    ]
