"""Reports as vectors: nothing is lost, and sums over replicas are those of the whole step."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tafe_tf.training.step_report import ReportLayout, StepReport

LAYOUT = ReportLayout(num_tasks=3, readers=2, replicas=2)


def report(seed: int) -> StepReport:
    rng = np.random.default_rng(seed)
    values = [rng.integers(0, 2**52, shape).astype(np.float64) for shape in LAYOUT.shapes]
    return StepReport(*(tf.constant(value) for value in values))


def test_packing_loses_nothing() -> None:
    packed = LAYOUT.pack(report(0))
    assert packed.shape == (1 + 1 + 1 + 3 + 1 + 4 + 10,)
    for there, back in zip(report(0), LAYOUT.unpack(packed), strict=True):
        np.testing.assert_array_equal(there, back)


def test_a_row_number_of_more_than_32_bits_survives() -> None:
    place = tf.constant([[2**52 + 1, 7], [0, 0]], tf.int64)
    packed = LAYOUT.pack(report(0)._replace(position=place))
    np.testing.assert_array_equal(LAYOUT.unpack(packed).position, place)


def test_sums_add_up_and_the_rest_is_the_last_steps() -> None:
    first, second = report(1), report(2)
    total = LAYOUT.add(LAYOUT.add(LAYOUT.nothing(), first), second)
    for name in ("steps", "rows", "loss", "task_losses"):
        expected = getattr(first, name) + getattr(second, name)
        np.testing.assert_array_equal(getattr(total, name), expected)
    for name in ("more", "position", "bad"):
        np.testing.assert_array_equal(getattr(total, name), getattr(second, name))
