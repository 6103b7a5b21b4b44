"""Bad rows against counts made by hand: how many were dropped, and when that is too many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tafe_tf.data import bad_row_limit
from tafe_tf.data.bad_rows import BadRows, Dropped, Problem, Verdict, check_parts
from tafe_tf.data.errors import BadRowError

RULE = "must be an integer"
BY_ORDER: Verdict = "dropped by the schema's `order`"


def dropping(
    most: str,
    blocks: list[tuple[str, int, list[int]]],
) -> BadRows:
    """Judges blocks, each a file, the number of its last row and the numbers of its bad rows."""
    bad_rows = BadRows("drop", most)
    for path, last, bad in blocks:
        bad_rows.see(path, last)
        problems = [Problem(index, "hour", RULE, "x") for index in range(len(bad))]
        bad_rows.judge(path, np.array(bad, np.int64), problems)
    return bad_rows


@pytest.mark.parametrize(
    ("limit", "rows", "most"),
    [
        ("", 10, None),
        ("0", 10, 0),
        ("7", 10**9, 7),
        ("1%", 50, 100),  # a share allows 100 in any case
        ("1%", 10_000, 100),
        ("1%", 10_100, 101),
        ("0.5%", 1_000_000, 5_000),
        ("100%", 1_000, 1_000),
    ],
)
def test_a_limit_is_a_count_or_a_share(limit: str, rows: int, most: int | None) -> None:
    bad_row_limit.check_limit(limit)
    assert bad_row_limit.allowed(limit, rows) == most


@pytest.mark.parametrize("limit", ["-1", "1.5", "0.01", "101%", "%", "a few", "1 %", "1e3"])
def test_no_limit_is_guessed(limit: str) -> None:
    with pytest.raises(ValueError, match=r"max_bad_rows must be a number of rows such as 1000, or"):
        BadRows("drop", limit)


def test_a_share_is_one_of_all_rows_whatever_the_order() -> None:
    blocks = [
        ("a.csv", 10_000, list(range(1, 151))),  # 1.5 % of this file
        ("b.csv", 20_000, []),
        ("b.csv", 10_000, [3]),
        ("a.csv", 10_000, [1, 2]),  # the same rows, in the next epoch
    ]
    for order in itertools.permutations(blocks):
        bad_rows = dropping("1%", list(order))
        bad_rows.check(["a.csv", "b.csv"])  # 151 of 30,000
        assert bad_rows.count == 151
        message = r"^151 of 30,000 rows are bad, and --max_bad_rows=0.3% allows 100: dropped"
        with pytest.raises(BadRowError, match=message):
            dropping("0.3%", list(order)).check(["a.csv", "b.csv"])


def test_a_number_of_rows_stops_as_soon_as_it_is_passed() -> None:
    bad_rows = BadRows("drop", "2")
    bad_rows.judge("a.csv", np.array([5, 6]), [Problem(0, "hour", RULE, "x")])
    bad_rows.judge("a.csv", np.array([5, 6]), [Problem(0, "hour", RULE, "x")])  # counts once
    bad_rows.judge("a.csv", np.array([7, 8]), [Problem(1, "hour", RULE, "x")])
    with pytest.raises(BadRowError, match=r"^3 of 0 rows are bad, and --max_bad_rows=2 allows 2"):
        bad_rows.judge("a.csv", np.array([9]), [Problem(0, "hour", RULE, "x")])


def test_rows_that_the_schema_drops_are_not_bad() -> None:
    bad_rows = BadRows("drop", "0")
    problem = Problem(0, "buy", "is 1 where the earlier step 'click' is 0", 1, policy="drop")
    bad_rows.see("a.csv", 9)
    bad_rows.judge("a.csv", np.array([9]), [problem])
    bad_rows.check(["a.csv"])
    assert bad_rows.count == 1


def test_a_row_that_spans_lines_counts_each_of_them() -> None:
    bad_rows = BadRows("drop", "7")
    wide = [Problem(0, "*", "must have 2 cells", 3, lines=4), Problem(1, "*", "x", 1)]
    for _ in range(2):  # epochs
        bad_rows.see("a.csv", 100)
        bad_rows.judge("a.csv", np.array([10, 20]), wide)
    assert bad_rows.count == 5
    assert bad_rows.seen == 103
    assert [reason.rows for reason in bad_rows.reasons()] == [4, 1]
    bad_rows.see("a.csv", 200)
    with pytest.raises(BadRowError, match=r"^8 of 205 rows are bad"):
        bad_rows.judge("a.csv", np.array([120]), [Problem(0, "*", "x", 1, lines=3)])


def test_parts_that_were_read_apart_add_up() -> None:
    reasons = [
        Dropped(column="hour", rule=RULE, rows=60, first="a.csv: row 3"),
        Dropped(
            column="buy", rule="x", rows=500, first="", verdict="dropped by the schema's `order`"
        ),
        Dropped(column="buy", rule="x", rows=9000, first="", verdict="repaired"),
        Dropped(column="day", rule=RULE, rows=41, first="b.csv: row 4"),
    ]
    check_parts("101", 601, 10_000, reasons)
    message = r"^101 of 10,000 rows are bad, and --max_bad_rows=1% allows 100: .*row 3; .*row 4"
    with pytest.raises(BadRowError, match=message):
        check_parts("1%", 601, 10_000, reasons)


def test_a_message_never_holds_a_long_value() -> None:
    problem = Problem(0, "user" * 1000, RULE, "7" * 130_000)
    with pytest.raises(
        BadRowError, match=r"^a.csv: row 3, column 'user.*\.\.\.: must be"
    ) as caught:
        BadRows().judge("a.csv", np.array([3]), [problem])
    assert len(str(caught.value)) < 400
