"""Funnels of segments: their probabilities, their labels, and which fields interact where."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tafe_tf.data.public.sample_wise import SampleWiseFunnel


def small_funnel() -> SampleWiseFunnel:
    """Two segments of two pairs each, among fields 1 to 4."""
    return SampleWiseFunnel(fields=5, values=4, segments=2, pairs=2)


def every_row(funnel: SampleWiseFunnel) -> np.ndarray:
    """The value indices of all rows that there can be."""
    rows = itertools.product(range(funnel.values), repeat=funnel.fields)
    return np.array(list(rows))


def row_logits(funnel: SampleWiseFunnel, row: list[int]) -> list[float]:
    """The logits of a row's steps, term by term as the class's docstring writes them."""
    logits = []
    segment = row[0] % 2
    for step in range(2):
        logit = funnel._intercepts[step]
        for field, value in enumerate(row):
            logit += funnel._effects[step][field][value]
        for pair, (a, b) in enumerate(funnel.pairs[segment].tolist()):
            left = funnel._left[step][segment][pair][row[a]]
            right = funnel._right[step][segment][pair][row[b]]
            logit += left * right
        logits.append(logit)
    return logits


def test_probabilities_are_the_closed_form() -> None:
    funnel = small_funnel()
    rows = every_row(funnel)[::7]
    computed = funnel.probabilities(rows)
    for row, (click, conversion) in zip(rows.tolist(), computed, strict=True):
        of_click, of_conversion = row_logits(funnel, row)
        expected_click = 1.0 / (1.0 + math.exp(-of_click))
        expected_conversion = expected_click / (1.0 + math.exp(-of_conversion))
        assert click == pytest.approx(expected_click, rel=1e-12)
        assert conversion == pytest.approx(expected_conversion, rel=1e-12)


def test_labels_have_the_frequencies_of_a_finite_population() -> None:
    """Every row that there can be has its weight and its truth: sums of labels must agree."""
    funnel = small_funnel()
    rows = every_row(funnel)
    weight = funnel._share[rows].prod(axis=1)
    truth = funnel.probabilities(rows)
    chunk = funnel.chunk(stream=0, number=0, rows=200_000)
    segment_of_drawn = [int(text[-1]) % 2 for text in chunk["field_0"]]
    for segment in range(2):
        of_segment = rows[:, 0] % 2 == segment
        drawn = np.array(segment_of_drawn) == segment
        for step, task in enumerate(funnel.tasks):
            joint = float((weight * truth[:, step])[of_segment].sum())  # P(segment and T_i = 1)
            frequency = float((chunk[task] * drawn).mean())
            deviation = math.sqrt(joint * (1 - joint) / 200_000)
            assert abs(frequency - joint) < 5 * deviation
    assert weight @ truth == pytest.approx([0.2, 0.05], rel=0.03)  # set on a sample


def second_difference(
    funnel: SampleWiseFunnel,
    step: int,
    segment: int,
    fields: tuple[int, int],
) -> float:
    """What two fields' values add to the logit together beyond what each adds alone."""
    one, other = fields
    rows = np.zeros((4, funnel.fields), dtype=np.int64)
    rows[:, 0] = segment
    rows[:, one] = [0, 0, 1, 1]
    rows[:, other] = [0, 1, 0, 1]
    probability = funnel.probabilities(rows)
    conditional = probability[:, step]
    if step:
        conditional = conditional / probability[:, step - 1]
    logit = np.log(conditional / (1 - conditional))
    return float(logit[0] - logit[1] - logit[2] + logit[3])


def test_each_segment_has_interactions_of_its_own() -> None:
    funnel = small_funnel()
    dealt = {tuple(pair) for pair in funnel.pairs.reshape(-1, 2).tolist()}
    assert len(dealt) == 4  # no pair is of both segments
    for segment in range(2):
        interacting = {tuple(pair) for pair in funnel.pairs[segment].tolist()}
        for fields in itertools.combinations(range(1, 5), 2):
            for step in range(2):
                difference = second_difference(funnel, step, segment, fields)
                if fields in interacting:
                    assert abs(difference) > 1e-3
                else:
                    assert abs(difference) < 1e-10


def test_rows_repeat_and_differ_by_seed() -> None:
    first = small_funnel().chunk(stream=0, number=0, rows=100)
    again = small_funnel().chunk(stream=0, number=0, rows=100)
    for name, values in first.items():
        assert values.tolist() == again[name].tolist()
    seeded = SampleWiseFunnel(fields=5, values=4, segments=2, pairs=2, seed=1)
    other = seeded.chunk(stream=0, number=0, rows=100)
    assert other["true_click"].tolist() != first["true_click"].tolist()


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"at most as many as values.*segments=4, values=3"):
        SampleWiseFunnel(values=3)
    with pytest.raises(ValueError, match=r"must be at most 6, .*fields=5, segments=2, pairs=4"):
        SampleWiseFunnel(fields=5, segments=2, pairs=4)
