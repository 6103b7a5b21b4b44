"""The table of missing and unseen values, and the warnings below it."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.terminal.field_shares import print_field_metrics, print_field_shares

TRAINING = {"missing": {"user": 0.0, "hour": 0.25}, "unseen": {"user": 0.1, "hour": 0.0}}


def counts(*of_fields: tuple[int, int, int]) -> FieldCounts:
    made = FieldCounts(["user", "hour", "price"])
    made.merge(np.array(of_fields))
    return made


def test_shares_stand_beside_those_of_training(capsys: pytest.CaptureFixture[str]) -> None:
    print_field_shares(counts((1000, 0, 500), (1000, 0, 0), (1000, 0, 0)), TRAINING, "values")
    out = capsys.readouterr().out
    cells = [line.replace("│", " ").split() for line in out.splitlines()]
    assert ["user", "0.00%", "0.00%", "50.00%", "10.00%"] in cells
    assert ["hour", "0.00%", "25.00%", "0.00%", "0.00%"] in cells
    assert "1 of 3 fields have no missing and no unseen value" in out
    assert out.splitlines()[-1] == (
        "warning: field 'user': 50.0% of its values are unseen, and 10.0% were in training"
    )


def test_one_line_where_there_is_nothing_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    print_field_shares(counts((9, 0, 0), (9, 0, 0), (9, 0, 0)), {}, "values of 9 rows")
    assert capsys.readouterr().out.splitlines() == [
        "values of 9 rows: 3 of 3 fields have no missing and no unseen value",
        "the shares of the training rows are not known",
    ]


def test_a_share_near_one_is_told_even_where_training_had_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    training = {"missing": {}, "unseen": {"user": 0.901, "hour": 0.9}}
    print_field_shares(counts((1000, 0, 901), (1000, 0, 900), (9, 9, 0)), training, "values")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line[:4] == "warn"]
    assert warnings == [
        "warning: field 'user': 90.1% of its values are unseen, so that it says nothing; is `size` "
        "too small, `min_count` too large, or another column meant?"
    ]


def test_an_evaluation_that_did_not_look_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_field_metrics({"auc/ctr": 0.5, "rows": 3}, TRAINING, "values")
    assert capsys.readouterr().out == ""
