"""Columns as slices: each value, ranges of numbers, what is rare, what is missing."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tafe_tf.insight.slices.values import BUCKETS, MISSING, MOST, OTHERS, slicing_of


def named(values: object, missing: tuple[str, ...] = ()) -> list[str]:
    """The name of each row's slice."""
    array = pa.chunked_array([values])
    slicing = slicing_of("column", array, missing)
    return [slicing.names[place] for place in slicing.place]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a", None, "b", ""], ["b", "a", MISSING, "b", MISSING]),
        ([3, 1, None], ["3", "1", MISSING]),
        ([2.5, float("nan"), 3.0], ["2.5", MISSING, "3"]),
        (np.array([0.1, 15.18, 7.0], np.float32), ["0.1", "15.18", "7"]),
        ([True, False, None], ["True", "False", MISSING]),
        ([datetime.date(2026, 11, 2)], ["2026-11-02"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        ([b"x", b"\xff"], ["x", "\ufffd"]),
    ],
)
def test_few_values_are_slices_of_their_own(values: object, names: list[str]) -> None:
    assert named(values) == names


def test_values_are_in_their_own_order() -> None:
    numbers = slicing_of("n", pa.chunked_array([["10", "9", "2"]]))
    assert numbers.names == ("2", "9", "10")
    texts = slicing_of("n", pa.chunked_array([["10", "9", "a"]]))
    assert texts.names == ("10", "9", "a")


def test_texts_that_mean_a_missing_value_are_one_slice() -> None:
    assert named(["NA", "", "x"], missing=("NA",)) == [MISSING, MISSING, "x"]


def test_many_numbers_fall_into_buckets_of_like_many_rows() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1000.0))
    slicing = slicing_of("price", pa.chunked_array([values]))
    by_pandas = pd.qcut(values, BUCKETS, labels=False)
    np.testing.assert_array_equal(slicing.place, by_pandas)
    assert slicing.names[0] == "0 to 99"
    assert slicing.names[-1] == "900 to 999"
    as_texts = slicing_of("price", pa.chunked_array([[str(value) for value in values]]))
    np.testing.assert_array_equal(as_texts.place, slicing.place)


def test_the_rows_of_one_number_stay_together() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    slicing = slicing_of("price", pa.chunked_array([values]))
    assert set(slicing.place[:900]) == {0}
    assert slicing.names[0] == "0"


def test_times_fall_into_buckets() -> None:
    start = datetime.datetime(2026, 11, 1)
    times = [start + datetime.timedelta(hours=hour) for hour in range(100)]
    slicing = slicing_of("at", pa.chunked_array([times]))
    assert len(slicing.names) == BUCKETS
    assert slicing.names[0] == "2026-11-01 00:00:00 to 2026-11-01 09:00:00"
    np.testing.assert_array_equal(slicing.place, np.arange(100) // 10)


def test_rare_texts_are_one_slice() -> None:
    texts = [f"v{value}" for value in range(MOST + 20) for _ in range(MOST + 20 - value)]
    names = named([*texts, None])
    assert names[0] == "v0"
    assert names[-2] == OTHERS
    assert names[-1] == MISSING
    assert len(set(names)) == MOST + 2
