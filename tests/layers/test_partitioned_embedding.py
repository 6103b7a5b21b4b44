"""The table in parts against the table in one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tafe_tf.layers import FusedEmbedding, PartitionedEmbedding
from tafe_tf.layers.partitioned_embedding import split_fields
from tafe_tf.models import TAFE

ROWS, SLOTS = [5, 40, 3, 20, 7], [1, 3, 1, 2, 1]


def best(rows: list[int], parts: int) -> int:
    """The largest group's rows in the best of all cuts."""
    cuts = itertools.combinations(range(1, len(rows)), min(parts, len(rows)) - 1)
    groups = (list(itertools.pairwise([0, *cut, len(rows)])) for cut in cuts)
    return min(max(sum(rows[a:b]) for a, b in group) for group in groups)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 9])
def test_fields_are_cut_as_evenly_as_can_be(parts: int) -> None:
    bounds = split_fields(ROWS, parts)
    assert bounds[0] == 0 and bounds[-1] == 5 and len(bounds) - 1 <= parts
    assert max(sum(ROWS[a:b]) for a, b in itertools.pairwise(bounds)) == best(ROWS, parts)


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_parts_answer_as_the_whole(parts: int) -> None:
    rng = np.random.default_rng(0)
    whole, split = FusedEmbedding(ROWS, 4, SLOTS), PartitionedEmbedding(ROWS, 4, parts, SLOTS)
    whole.build()
    split.build()
    start = 0
    for part in split.parts:
        rows = sum(part.field_rows)
        part.table.assign(whole.table[start : start + rows])
        start += rows
    assert start == sum(ROWS)
    sizes = [rows for rows, slots in zip(ROWS, SLOTS, strict=True) for _ in range(slots)]
    inputs = {
        "ids": rng.integers(0, sizes, (6, len(sizes))),
        "weights": rng.random((6, len(sizes))).astype(np.float32),
    }
    np.testing.assert_array_equal(split(inputs), whole(inputs))
    assert split(inputs).shape == (6, 5, 4)


def test_a_model_in_parts_answers_after_its_configuration() -> None:
    model = TAFE(ROWS, 2, embedding_dim=4, num_inducing=4, num_layers=1, embedding_parts=2)
    assert len([v for v in model.variables if v.path.endswith("table")]) == 2
    again = TAFE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    ids = np.zeros((3, 5), np.int32)
    np.testing.assert_array_equal(again(ids), model(ids))


def test_without_lists_ids_are_enough() -> None:
    split = PartitionedEmbedding(ROWS, 4, 2)
    split.build()
    assert split(np.zeros((3, 5), np.int32)).shape == (3, 5, 4)
