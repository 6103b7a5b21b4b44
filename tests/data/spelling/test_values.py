"""The table of docs/data.md, row by row."""

from __future__ import annotations

import datetime
import decimal
import math
import pathlib
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import tafe_tf.data.spelling
from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.values import spelled
from tafe_tf.schema import MISSING_TEXTS, Column, Dtype

D = decimal.Decimal
DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12, 0, 30)
SECONDS = 1_709_208_030  # of NOON, by `date -u -d "2024-02-29 12:00:30" +%s`
MIDNIGHT = SECONDS - 12 * 3600 - 30
UUID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


def spell(
    array: pa.Array, dtype: Dtype, missing: tuple[str, ...] = MISSING_TEXTS
) -> tuple[list[Any], list[tuple[int, object]]]:
    """The values, None for a missing one, and the places and values of the problems."""
    problems: list[Problem] = []
    column = Column(name="store", dtype=dtype)
    owner = np.arange(len(array))
    found = spelled(array, column, missing, problems, owner, "a.parquet")
    values = [None if value != value else value for value in found.to_pylist()]
    return values, [(problem.index, problem.value) for problem in problems]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", None, "", "NA", " NA", "nan", "None", "0"]), ["a"] + [None] * 3 + [" NA"]),
        (pa.array(["a", "NA"], pa.large_string()), ["a", None]),
        (pa.array(["a", "NA"], pa.string_view()), ["a", None]),
        (pa.array(["a", "NA", "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "NA"]), ["a", "a", None]),
        (pa.array([b"a", b"NA", b"\xff"]), [b"a", None, b"\xff"]),
        (pa.array([b"a", b"NA"], pa.binary_view()), [b"a", None]),
        (pa.array([-7, None, 2**63 - 1]), ["-7", None, "9223372036854775807"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([D("7"), None]), ["7", None]),
        (pa.array([D(300)], pa.decimal128(5, -2)), ["300"]),
        (pa.array([D(10**40)], pa.decimal256(50, 0)), ["1" + "0" * 40]),
        (pa.array([D(7)], pa.decimal32(5, 0)), ["7"]),
        (pa.array([DAY]), ["2024-02-29"]),
        (pa.array([DAY], pa.date64()), ["2024-02-29"]),
        (pa.array([UUID]), [str(UUID)]),
        (pa.array([UUID.bytes], pa.binary(16)), [UUID.hex]),
        (pa.nulls(2), [None, None]),
        (pa.nulls(2, pa.float64()), [None, None]),
        (pa.array([math.nan, None]), [None, None]),
        (pa.nulls(2, pa.timestamp("s")), [None, None]),
    ],
)
def test_texts(array: pa.Array, expected: list[Any]) -> None:
    values, problems = spell(array, "string")
    assert values[: len(expected)] == expected and problems == []


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["7", "-7", "3.0", "3.", "+3", "1e3", "NA", "", None]), [7, -7, 3, 3, 3, 1000]),
        (pa.array(["9007199254740993", "9007199254740993.0"]), [2**53 + 1] * 2),
        (pa.array(["true", "False", "TRUE", "1"]), [1, 0, 1, 1]),
        (pa.array(["2024-02-29", "7"]), [MIDNIGHT, 7]),
        (pa.array(["2024-02-29 12:00:30", "2024-02-29T12:00:30Z"]), [SECONDS] * 2),
        (pa.array(["2024-02-29T21:00:30+09:00", "2024-02-29T12:00:30.000"]), [SECONDS] * 2),
        (pa.array(["0001-01-01", "9999-12-31T00:00:00+00:00"]), [-62135596800, 253402214400]),
        (pa.array(["12:30", "00:00:01"]), [45_000, 1]),
        (pa.array([b"7", b"true", b"NA"]), [7, 1, None]),
        (pa.array([True, False, None]), [1, 0, None]),
        (pa.array([2**63 - 1, -(2**63)]), [2**63 - 1, -(2**63)]),
        (pa.array([7], pa.uint64()), [7]),
        (pa.array([3.0, math.nan, -(2.0**53)]), [3, None, -(2**53)]),
        (pa.array([2.0**24], pa.float32()), [2**24]),
        (pa.array([2048.0], pa.float16()), [2048]),
        (pa.array([D("3.00"), D("-2.00")]), [3, -2]),
        (pa.array([D(2**62)], pa.decimal256(50, 0)), [2**62]),
        (pa.array([DAY]), [MIDNIGHT]),
        (pa.array([NOON]), [SECONDS]),
        (pa.array([NOON], pa.timestamp("ns")), [SECONDS]),
        (pa.array([NOON], pa.timestamp("s", "Asia/Tokyo")), [SECONDS]),
        (pa.array([NOON.time()]), [43_230]),
        (pa.array([NOON.time()], pa.time32("s")), [43_230]),
        (pa.array([datetime.timedelta(days=1)]), [86_400]),
        (pa.array(["7", "7"]).dictionary_encode(), [7, 7]),
    ],
)
def test_integers(array: pa.Array, expected: list[Any]) -> None:
    values, problems = spell(array, "int64")
    assert values[: len(expected)] == expected and problems == []
    assert set(values[len(expected) :]) <= {None}


@pytest.mark.parametrize(
    ("array", "wrong"),
    [
        (pa.array(["7", "x", "7.5", "9223372036854775808", "1e300", " 7"]), [1, 2, 3, 4, 5]),
        (pa.array(["2024-02-29T12:00:30.5", "2024-02-30", "12:61"]), [0, 1, 2]),
        (pa.array([3.5, 2.0**53 + 2, math.inf, 1.0]), [0, 1, 2]),
        (pa.array([2.0**24 + 2, 2.0], pa.float32()), [0]),
        (pa.array([2**63, 1], pa.uint64()), [0]),
        (pa.array([D("3.50"), D("4.00")]), [0]),
        (pa.array([NOON, NOON.replace(microsecond=1)]), [1]),
        (pa.array([datetime.timedelta(milliseconds=5)]), [0]),
        (pa.array([b"\xff", b"7"]), [0]),
    ],
)
def test_what_is_no_integer_is_a_problem_of_its_row(array: pa.Array, wrong: list[int]) -> None:
    values, problems = spell(array, "int64")
    assert problems == [(place, array[place].as_py()) for place in wrong]
    assert [place for place, value in enumerate(values) if value is None] == wrong


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers(dtype: Dtype) -> None:
    arrays = [
        pa.array(["7", "0.1", "-1e-3", "true", "2024-02-29T12:00:30.25", "12:30:00.5", "NA"]),
        pa.array([True, False]),
        pa.array([2**63 - 1, 2**53 + 1]),
        pa.array([2**64 - 1], pa.uint64()),
        pa.array([0.1, math.inf]),
        pa.array([D("0.1"), D("12345678901234567890.123")]),
        pa.array([NOON.replace(microsecond=250_000)]),
        pa.array([datetime.timedelta(milliseconds=1500)]),
    ]
    expected: list[list[Any]] = [
        [7.0, 0.1, -0.001, 1.0, SECONDS + 0.25, 45_000.5, None],
        [1.0, 0.0],
        [float(2**63 - 1), float(2**53 + 1)],
        [float(2**64 - 1)],
        [0.1, math.inf],
        [0.1, 12345678901234567890.123],
        [SECONDS + 0.25],
        [1.5],
    ]
    for array, numbers in zip(arrays, expected, strict=True):
        values, problems = spell(array, dtype)
        rounded = [n if n is None else np.dtype(dtype).type(n).item() for n in numbers]
        assert values == rounded and problems == []
    assert spell(pa.array(["7,5", "x", "1"]), dtype)[1] == [(0, "7,5"), (1, "x")]


def test_a_moment_is_the_same_float_in_every_unit() -> None:
    rng = np.random.default_rng(0)
    moments = pa.array(rng.integers(-(10**15), 2 * 10**15, 1000), pa.timestamp("us"))
    of_units, _ = spell(moments, "float64")
    assert spell(moments.cast(pa.timestamp("ns")), "float64")[0] == of_units
    assert spell(moments.cast(pa.string()), "float64")[0] == of_units
    texts = pd.Series(moments.to_pandas()).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    assert spell(pa.array(texts.astype(str)), "float64")[0] == of_units


def test_declared_texts_are_missing_in_every_type() -> None:
    missing = ("-999", "unknown")
    for array in (
        pa.array(["-999", "-999.0", "1"]),
        pa.array([-999, -999, 1]),
        pa.array([-999.0, -999.0, 1.0]),
        pa.array([D("-999"), D("-999"), D("1")]),
    ):
        assert spell(array, "int64", missing)[0] == [None, None, 1]
        assert spell(array, "float32", missing)[0] == [None, None, 1.0]
    assert spell(pa.array([-999, 1]), "string", missing)[0] == [None, "1"]
    assert spell(pa.array(["-999", "NA", "unknown"]), "string", missing)[0] == [None, "NA", None]


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (pa.array([True]), "string", 'is bool in this table and text in the schema: set dtype = "'),
        (
            pa.array([1.0]),
            "string",
            'is float64 in this .* dtype = "int64" if its values are whole',
        ),
        (pa.array([1.0], pa.float32()), "string", 'is float32 in .* kind = "quantile"'),
        (pa.array([D("1.5")]), "string", r"is decimal128\(2, 1\) in"),
        (pa.array([NOON]), "string", r'is timestamp\[us\] in .* dtype = "int64", which counts sec'),
        (pa.array([NOON.time()]), "string", r"is time64\[us\] in"),
        (pa.array([datetime.timedelta(1)]), "string", r"is duration\[us\] in"),
        (pa.array([{"a": 1}]), "string", "is struct<a: int64> in .* name the part"),
        (pa.array([[1]]), "string", "is list<item: int64> in .* set max_length in its feature"),
        (pa.array([UUID]), "int64", 'is UUID in this .* set dtype = "string"'),
        (pa.array([b"abcd"], pa.binary(4)), "int64", r'is fixed_size_binary\[4\] in .* "string"'),
        (pa.array([{"a": 1}]), "float32", "is struct<a: int64> in"),
    ],
)
def test_what_has_no_one_meaning_is_refused(array: pa.Array, dtype: Dtype, message: str) -> None:
    with pytest.raises(DataError, match=f"^a.parquet: column 'store' {message}"):
        spell(array, dtype)
    if not pa.types.is_struct(array.type):
        assert spell(pa.nulls(2, array.type), dtype) == ([None, None], [])


def test_the_documentation_has_the_same_table() -> None:
    root = pathlib.Path(__file__).parents[3]
    page = (root / "docs" / "data.md").read_text(encoding="utf-8")
    docstring = str(tafe_tf.data.spelling.__doc__)
    table = [line for line in docstring.splitlines() if line.startswith("|")]
    assert len(table) == 16 and "\n".join(table) in page
