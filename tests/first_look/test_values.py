"""Distinct values, missing ones and what columns look like, against pandas."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tafe_tf.first_look.doubles import doubled_rows
from tafe_tf.first_look.profile import profile
from tafe_tf.first_look.values import Values, values_of
from tafe_tf.schema import MISSING_TEXTS


def values(array: Any, separator: str = "") -> Values:
    column = pa.chunked_array([array if isinstance(array, pa.Array) else pa.array(array)])
    return values_of("x", column, MISSING_TEXTS, separator)


@pytest.mark.parametrize(
    ("array", "family"),
    [
        (["1", "22", "-3"], "integer"),
        (["007", "12"], "text"),
        (["1.0", "2.0"], "integer"),
        (["1.5", "2e3"], "number"),
        (["9223372036854775809", "12"], "text"),
        (["True", "false", ""], "flag"),
        (["2026-01-02", "2026-01-02T03:04:05Z"], "moment"),
        (["a", "1"], "text"),
        (["NA", "", None], "none"),
        ([1.0, None, float("nan")], "integer"),
        ([1.5], "number"),
        ([True, False], "flag"),
        (pa.array([2**63 + 1], pa.uint64()), "text"),
        (pa.array([5], pa.uint64()), "integer"),
        ([decimal.Decimal("1.50")], "number"),
        ([datetime.datetime(2026, 1, 1)], "moment"),
        ([datetime.date(2026, 1, 1)], "moment"),
        ([b"text", b"\xff"], "bytes"),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "text"),
        (pa.nulls(3), "none"),
    ],
)
def test_what_values_look_like(array: Any, family: str) -> None:
    assert values(array).family == family


def test_numbers_of_pandas_are_found_again() -> None:
    random = np.random.default_rng(0)
    series = pd.Series(random.integers(0, 500, 2000).astype(float))
    series[random.random(2000) < 0.2] = np.nan
    other = pd.Series(random.integers(300, 700, 1000).astype(float))
    train, test = values(pa.array(series)), values(pa.array(other))
    found = profile({"train": train, "test": test})
    assert found.distinct == series.nunique()
    assert found.missing == pytest.approx(series.isna().mean())
    assert found.unseen["test"] == pytest.approx((~other.isin(series)).mean())
    counts = series.value_counts()
    assert found.once == pytest.approx((counts == 1).mean())
    assert (found.least, found.largest) == (series.min(), series.max())
    rare = profile({"train": train, "test": test}, min_count=5).unseen["test"]
    assert rare == pytest.approx((~other.isin(counts[counts >= 5].index)).mean())


def test_lists_have_lengths_and_entries() -> None:
    lists = values(pa.array([["a", "b"], [], None, ["b", None, "NA"]]))
    assert lists.lengths is not None and lists.lengths.tolist() == [2, 0, 0, 3]
    assert lists.texts == ["a", "b"] and lists.counts.tolist() == [1, 2]
    assert lists.missing.tolist() == [False, True, True, False]
    texts = values(["a|b", "", "b"], separator="|")
    assert texts.lengths is not None and texts.lengths.tolist() == [2, 0, 1]
    fixed = values(pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)))
    assert fixed.lengths is not None and fixed.lengths.tolist() == [2, 0, 2]
    assert fixed.counts.sum() == 4
    found = profile({"train": lists}, max_length=2)
    assert found.lengths == (0, 1, 3) and found.cut == 0.25


def test_doubled_rows_are_those_of_pandas() -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"a": random.integers(0, 30, 900), "b": random.integers(0, 30, 900)})
    frame["c"] = [["x"] * n for n in frame["a"] % 3]
    train, test = frame[:600], frame[600:]

    def columns(rows: pd.DataFrame) -> dict[str, Values]:
        return {name: values(pa.array(rows[name])) for name in rows}

    known = set(zip(train["a"], train["b"], strict=True))
    expected = np.mean([pair in known for pair in zip(test["a"], test["b"], strict=True)])
    assert doubled_rows(columns(train), columns(test)) == pytest.approx(expected)
    assert 0.1 < expected < 0.9
