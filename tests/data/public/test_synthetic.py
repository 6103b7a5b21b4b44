"""Synthetic funnels are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.data.public.synthetic import SyntheticFunnel


def test_labels_are_drawn_from_the_truth() -> None:
    funnel = SyntheticFunnel(("a", "b", "c"), (0.4, 0.1, 0.02), fields=3, values=8)
    chunk = funnel.chunk(0, 0, 200_000)
    truth = np.stack([chunk[f"true_{task}"] for task in "abc"], axis=1)
    labels = np.stack([chunk[task] for task in "abc"], axis=1)
    assert (np.diff(labels, axis=1) <= 0).all() and (np.diff(truth, axis=1) <= 0).all()
    np.testing.assert_allclose(
        truth.mean(axis=0), [0.4, 0.1, 0.02], rtol=0.03
    )  # set on another sample
    for i in range(3):  # calibrated in every tenth of the rows, within 5 standard deviations
        for rows in np.array_split(np.argsort(truth[:, i]), 10):
            p = truth[rows, i]
            assert abs(labels[rows, i].sum() - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum()) + 1


def test_truth_is_a_function_of_the_fields() -> None:
    funnel = SyntheticFunnel(fields=2, values=3)
    chunk = funnel.chunk(0, 0, 500)
    seen: dict[tuple[object, object], set[float]] = {}
    for row in zip(chunk["field_0"], chunk["field_1"], chunk["true_click"], strict=True):
        seen.setdefault(row[:2], set()).add(float(row[2]))
    assert len(seen) == 9 and all(len(values) == 1 for values in seen.values())


def test_streams_and_seeds_differ_and_repeat() -> None:
    funnel = SyntheticFunnel()
    first = funnel.chunk(0, 0, 100)
    for other, same in (
        (SyntheticFunnel().chunk(0, 0, 100), True),
        (funnel.chunk(1, 0, 100), False),
    ):
        assert (other["field_1"].tolist() == first["field_1"].tolist()) is same
    assert (
        SyntheticFunnel(seed=1).chunk(0, 0, 100)["true_click"].tolist()
        != first["true_click"].tolist()
    )


@pytest.mark.parametrize("rates", [(0.2,), (0.2, 0.3), (1.0, 0.5), (0.2, 0.0)])
def test_rates_that_cannot_be(rates: tuple[float, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"rates must be one a task, decreasing, between 0 and 1. Received"
    ):
        SyntheticFunnel(("a", "b"), rates)
