"""Shares of missing and unseen values, against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.data.field_counts import FieldCounts

SLOTS = (1, 3, 1, 2)
FIELDS = ["user", "tags", "hour", "words"]


def in_python(ids: np.ndarray) -> dict[str, dict[str, float]]:
    """The shares, row by row and value by value."""
    missing, unseen, start = {}, {}, 0
    for field, slots in zip(FIELDS, SLOTS, strict=True):
        values = empty = new = 0
        for row in ids[:, start : start + slots].tolist():
            present = [one for one in row if one != 1]
            values += max(len(present), 1)
            empty += not present
            new += present.count(0)
        missing[field], unseen[field] = empty / values, new / values
        start += slots
    return {"missing": missing, "unseen": unseen}


def test_shares_of_ids() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (500, sum(SLOTS)))
    counts = FieldCounts(FIELDS)
    for part in np.split(ids, [1, 7, 7, 300]):
        counts.add_ids(part, SLOTS)
    assert counts.shares_of_all() == in_python(ids)


def test_shares_of_what_an_export_answers() -> None:
    """An export gives a row's shares as float32; counts of values come back exactly."""
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 3, (400, sum(SLOTS)))
    one_row = FieldCounts(FIELDS)
    answers = []
    for row in ids:
        one_row.counts[:] = 0
        one_row.add_ids(row[None], SLOTS)
        values = one_row.counts[:, 0].astype(np.float32)
        answers.append(one_row.counts[:, [2, 1, 0]] / np.stack([values, values, values * 0 + 1], 1))
    unseen, missing, values = np.moveaxis(np.array(answers, np.float32), -1, 0)
    counts = FieldCounts(FIELDS)
    counts.add_rows(unseen, missing, values)
    assert counts.shares_of_all() == in_python(ids)


def test_metrics_hold_all_of_it() -> None:
    rng = np.random.default_rng(2)
    counts = FieldCounts(FIELDS)
    counts.add_ids(rng.integers(0, 4, (999, sum(SLOTS))), SLOTS)
    metrics = counts.as_metrics()
    assert metrics["unseen/tags"] == counts.shares("unseen")["tags"]
    again = FieldCounts.of_metrics({"auc/ctr": 0.5, **metrics})
    assert again.fields == counts.fields
    np.testing.assert_array_equal(again.counts, counts.counts)
    assert FieldCounts.of_metrics({"auc/ctr": 0.5}).fields == ()


def test_without_rows_nothing_is_missing() -> None:
    nothing = FieldCounts(["user"])
    assert nothing.shares_of_all() == {"missing": {"user": 0.0}, "unseen": {"user": 0.0}}
    assert nothing.jumps({"missing": {"user": 0.0}, "unseen": {"user": 0.0}}) == []


@pytest.mark.parametrize(
    ("rows", "unseen", "jumped"),
    [
        (1, 1, False),  # one row tells nothing
        (100, 40, False),  # 0.2 + 0.1 + 1.5 / 10 = 0.45
        (100, 46, True),
        (10_000, 3_140, False),  # 0.2 + 0.1 + 0.015
        (10_000, 3_160, True),
    ],
)
def test_a_jump_is_a_tenth_and_more_than_chance(rows: int, unseen: int, jumped: bool) -> None:
    counts = FieldCounts(["user", "hour"])
    counts.merge(np.array([[rows, 0, unseen], [rows, 0, 0]]))
    found = counts.jumps(
        {"missing": {"user": 0.0, "hour": 0.0}, "unseen": {"user": 0.2, "hour": 0.0}}
    )
    assert bool(found) == jumped
    if jumped:
        share = f"{unseen / rows:.1%}"
        assert found == [
            f"field 'user': {share} of its values are unseen, and 20.0% were in training"
        ]


def test_what_training_did_not_count_cannot_jump() -> None:
    counts = FieldCounts(["user"])
    counts.merge(np.array([[1000, 500, 500]]))
    assert counts.jumps({}) == []
