"""Tables of every raw kind of value that has a meaning, with the meaning by plain Python.

The meanings come from Python alone (`fractions`, `calendar`, `decimal`), not from the package.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import random
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from tafe_tf.schema import MISSING_TEXTS, Dtype, Feature, Schema, Task

SEPARATOR = ";"  # between the values of a list in one text
UNKNOWN = -999  # a number that the schema declares to be missing
MISSING = 0.15  # the share of missing values, and of missing entries of lists
_TOKYO = datetime.timezone(datetime.timedelta(hours=9))
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_WORDS = ["a", "Straße 7", "東京", "007", "7", "3.0", "true", "1e3", "with, comma", 'quo"te', "N A"]


class Drawn(NamedTuple):
    """A column of a table.

    Attributes:
        kind: The kind of its values, a key of `KINDS`.
        dtype: What the schema says they are.
        values: Python values, or lists of them; None where one is missing.
        expected: What each value means; the dtype's absent value where it is missing.
        is_list: Whether the values are lists.
    """

    kind: str
    dtype: Dtype
    values: list[Any]
    expected: list[Any]
    is_list: bool


def _decimal(rng: random.Random, digits: int) -> decimal.Decimal:
    return decimal.Decimal(rng.randrange(-(10**6), 10**6)).scaleb(-digits)


def _whole_decimal(rng: random.Random) -> decimal.Decimal:
    return decimal.Decimal(rng.randrange(-(10**4), 10**4) * 100).scaleb(-2)


def _moment(rng: random.Random, microseconds: bool = False) -> datetime.datetime:
    start = datetime.datetime(1960, 1, 1)
    fraction = rng.randrange(10**6) if microseconds else 0
    return start + datetime.timedelta(seconds=rng.randrange(10**9 * 3), microseconds=fraction)


def _clock(rng: random.Random) -> datetime.time:
    return datetime.time(rng.randrange(24), rng.randrange(60), rng.randrange(60))


KINDS: dict[str, Callable[[random.Random], Any]] = {
    "text": lambda rng: rng.choice(_WORDS) + rng.choice(["", " b", "ü"]),
    "number text": lambda rng: rng.choice(["7", "-12", "3.0", "1e3", "true", "False", "0", "55."]),
    "fraction text": lambda rng: rng.choice(["7.25", "-1e-3", "3", "TRUE", "0.1", "123456.789"]),
    "date text": lambda rng: _moment(rng).date().isoformat(),
    "moment text": lambda rng: _moment(rng).isoformat(sep=rng.choice(" T")),
    "zoned text": lambda rng: _moment(rng).replace(tzinfo=_TOKYO).isoformat(),
    "integer": lambda rng: rng.choice([rng.randrange(-(2**62), 2**62), rng.randrange(30)]),
    "small": lambda rng: rng.randrange(30),
    "unsigned": lambda rng: rng.randrange(2**64),
    "boolean": lambda rng: rng.random() < 0.5,
    "whole float": lambda rng: float(rng.randrange(-(2**20), 2**20)),
    "float": lambda rng: rng.choice([rng.gauss(0, 1), rng.lognormvariate(0, 9), 0.0]),
    "decimal": lambda rng: _decimal(rng, 0),
    "whole decimal": _whole_decimal,
    "fraction decimal": lambda rng: _decimal(rng, 3),
    "date": lambda rng: _moment(rng).date(),
    "moment": _moment,
    "exact moment": lambda rng: _moment(rng, microseconds=True),
    "zoned": lambda rng: _moment(rng).replace(tzinfo=_TOKYO),
    "clock": _clock,
    "duration": lambda rng: datetime.timedelta(seconds=rng.randrange(10**6)),
    "bytes": lambda rng: rng.choice(_WORDS).encode(),
    "uuid": lambda rng: uuid.UUID(int=rng.getrandbits(128)),
    "fixed": lambda rng: rng.randbytes(4),
    "fraction": lambda rng: rng.randrange(100) / 64,
}
_OF_DTYPES: dict[Dtype, list[str]] = {
    "string": ["text", "integer", "unsigned", "decimal", "date", "bytes", "uuid", "fixed"],
    "int64": [
        *("integer", "boolean", "whole float", "decimal", "whole decimal", "number text"),
        *("date", "moment", "zoned", "clock", "duration"),
        *("date text", "moment text", "zoned text"),
    ],
    "float32": [
        *("float", "whole float", "integer", "boolean", "decimal", "fraction decimal"),
        *("fraction text", "date", "moment", "exact moment", "zoned", "clock", "duration"),
    ],
}
_OF_LISTS: dict[Dtype, list[str]] = {
    "string": ["text", "integer", "unsigned", "decimal", "date", "uuid"],
    "int64": ["integer", "boolean", "whole float", "number text", "moment"],
    "float32": ["float", "integer", "fraction decimal", "exact moment"],
}
_NUMBERS: dict[str, Callable[[int], Any]] = {
    "integer": int,
    "whole float": float,
    "float": float,
    "decimal": decimal.Decimal,
}
ABSENT: dict[Dtype, Any] = {"string": "", "int64": -1, "float32": math.nan}


def draw(seed: int, rows: int) -> dict[str, Drawn]:
    """Draws a table with a column for each dtype and raw kind, of single values and of lists.

    Args:
        seed: Of the draw.
        rows: The number of rows.
    """
    rng = random.Random(seed)
    columns = {}
    for dtype, kinds in _OF_DTYPES.items():
        for kind in kinds:
            columns[f"{dtype}_{kind}".replace(" ", "_")] = _column(rng, kind, dtype, rows)
    for dtype, kinds in _OF_LISTS.items():
        for kind in kinds:
            name = f"list_{dtype}_{kind}".replace(" ", "_")
            columns[name] = _lists(rng, kind, dtype, rows)
    columns["size"] = _column(rng, "small", "int64", rows)
    columns["weights"] = _weights(rng, columns["list_string_text"])
    clicks = [rng.randrange(2) for _ in range(rows)]
    buys = [click * rng.randrange(2) for click in clicks]
    for name, labels in (("click", clicks), ("buy", buys)):
        columns[name] = Drawn("small", "int64", list(labels), list(labels), False)
    return columns


def schema_of(columns: dict[str, Drawn], buckets: int = 5 * 10**7) -> Schema:
    """A schema that reads the drawn columns; no feature needs a vocabulary.

    Args:
        columns: What `draw` gave.
        buckets: Of each hashed column. Default: so many that two values seldom share one.
    """
    features = [Feature(name="size", kind="integer", size=20)]
    for name, drawn in columns.items():
        settings: dict[str, Any] = {}
        if drawn.is_list:
            settings = {"max_length": 3, "separator": SEPARATOR}
        if name == "list_string_text":
            settings["weights"] = "weights"
        if drawn.dtype == "float32" and name != "weights":
            features.append(Feature(name=name, kind="log_round", max_abs=1e30, **settings))
        elif name not in ("size", "weights", "click", "buy"):
            settings |= {"kind": "hash", "buckets": buckets, "dtype": drawn.dtype}
            features.append(Feature(name=name, **settings))
    return Schema(
        name="drawn",
        missing=(*MISSING_TEXTS, str(UNKNOWN)),
        features=tuple(features),
        tasks=(Task(name="click"), Task(name="buy")),
    )


def meaning(value: Any, dtype: Dtype) -> Any:
    """What a value means as a dtype, by the table of docs/data.md; `ABSENT` if it is missing."""
    is_number = isinstance(value, int | float | decimal.Decimal)
    if value is None or (is_number and value == UNKNOWN):
        return ABSENT[dtype]
    if dtype == "string":
        return _text(value)
    number = _number(value)
    return int(number) if dtype == "int64" else float(number)


def _column(rng: random.Random, kind: str, dtype: Dtype, rows: int) -> Drawn:
    is_dense = rng.random() < 0.3  # some libraries change the type of a column with missing values
    values = []
    for _ in range(rows):
        is_missing = not is_dense and rng.random() < MISSING
        values.append(_nothing(rng, kind) if is_missing else KINDS[kind](rng))
    return Drawn(kind, dtype, values, [meaning(value, dtype) for value in values], False)


def _nothing(rng: random.Random, kind: str) -> Any:
    """None, or the number that means a missing value, as the kind has it."""
    if kind in _NUMBERS and rng.random() < 0.5:
        return _NUMBERS[kind](UNKNOWN)
    return None


def _lists(rng: random.Random, kind: str, dtype: Dtype, rows: int) -> Drawn:
    values: list[Any] = []
    for _ in range(rows):
        length = rng.choice([0, 1, 2, 3, 5])
        entries = [None if rng.random() < MISSING else KINDS[kind](rng) for _ in range(length)]
        if entries in ([None], []):
            entries = [KINDS[kind](rng)]  # CSV cannot tell a missing list from a missing entry
        values.append(None if rng.random() < MISSING else entries)
    expected = []
    for value in values:
        expected.append([meaning(entry, dtype) for entry in value or []])
    return Drawn(kind, dtype, values, expected, True)


def _weights(rng: random.Random, lists: Drawn) -> Drawn:
    """A weight for each entry of the lists."""
    values: list[Any] = []
    for value in lists.values:
        weights = None if value is None else [KINDS["fraction"](rng) for _ in value]
        values.append(weights)
    return Drawn("fraction", "float32", values, [value or [] for value in values], True)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        is_fixed = len(value) == 4 and value not in [word.encode() for word in _WORDS]
        return value.hex() if is_fixed else value.decode()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, decimal.Decimal) else str(value)


def _number(value: Any) -> fractions.Fraction:
    """The exact number that a value stands for."""
    if isinstance(value, str):
        return _number_of_text(value)
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return _seconds(moment - _EPOCH)
    if isinstance(value, datetime.date):
        return _number(datetime.datetime(value.year, value.month, value.day))
    if isinstance(value, datetime.time):
        return fractions.Fraction(value.hour * 3600 + value.minute * 60 + value.second)
    if isinstance(value, datetime.timedelta):
        return _seconds(value)
    return fractions.Fraction(value)


def _number_of_text(text: str) -> fractions.Fraction:
    if text.lower() in ("true", "false"):
        return fractions.Fraction(text.lower() == "true")
    if text[4:5] == "-":
        return _number(datetime.datetime.fromisoformat(text))
    return fractions.Fraction(decimal.Decimal(text))


def _seconds(duration: datetime.timedelta) -> fractions.Fraction:
    microseconds = duration // datetime.timedelta(microseconds=1)
    return fractions.Fraction(microseconds, 10**6)
