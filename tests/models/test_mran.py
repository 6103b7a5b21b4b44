"""MRAN; its logits are compared with their twin in `test_models.py`."""

from __future__ import annotations

import numpy as np
import pytest
from registry import make, randomize

from tafe_tf.models import MRAN

ROWS = [4, 3, 5]
IDS = np.array([[1, 2, 4], [3, 0, 0]])


def test_tasks_differ_at_step_0() -> None:
    model = make("mran", ROWS, 3)
    assert len(np.unique(model.tasks.numpy()[0], axis=0)) == 3
    logits = np.array(model(IDS))
    assert np.ptp(logits, axis=1).min() > 1e-4


def test_a_task_learns_from_the_others_by_its_attention_alone() -> None:
    model = randomize(make("mran", ROWS, 3))
    before = np.array(model(IDS))
    tasks = model.tasks.numpy()
    tasks[0, 2] += 1.0
    model.tasks.assign(tasks)
    assert np.abs(np.array(model(IDS)) - before)[:, 0].min() > 1e-6
    attention = model.of_tasks.attention
    attention.output_dense.kernel.assign(np.zeros((2, 2, 4)))
    one = np.array(model(IDS))
    model.tasks.assign(tasks + np.array([0.0, 0.0, 1.0])[:, None] * np.arange(4))
    other = np.array(model(IDS))
    np.testing.assert_array_equal(one[:, :2], other[:, :2])
    assert np.abs(one - other)[:, 2].min() > 1e-6


def test_heads_must_divide_the_dimension() -> None:
    with pytest.raises(
        ValueError, match=r"`num_heads` must divide the dimension 18. Received: .*4"
    ):
        MRAN(ROWS, 2, num_heads=4)
