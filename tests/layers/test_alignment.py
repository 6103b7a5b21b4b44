"""The alignment of tasks with fields."""

from __future__ import annotations

import numpy as np
import pytest
from registry import normal

from tafe_tf.layers import TaskFieldAlignment


def test_weights_are_distributions_over_the_fields_that_differ_by_task_and_head() -> None:
    alignment = TaskFieldAlignment(num_heads=2)
    tasks, h = normal(1, 3, 6), normal(4, 5, 6, seed=1)
    alignment(tasks, h)
    alignment.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(alignment.get_weights())])
    weights = np.array(alignment.weights_of(tasks, h))  # [B, N, F, d]
    np.testing.assert_allclose(weights.sum(axis=2), 1.0, rtol=1e-5)
    first, second = weights[..., :3], weights[..., 3:]  # the two heads
    assert np.ptp(first, axis=-1).max() == 0 and np.ptp(second, axis=-1).max() == 0
    assert np.abs(first - second).min() > 0
    assert np.ptp(weights, axis=1).min() > 0


def test_heads_that_do_not_divide_the_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`num_heads` must divide the dimension 6. Received: .*4"):
        TaskFieldAlignment(num_heads=4)(normal(1, 3, 6), normal(4, 5, 6))
