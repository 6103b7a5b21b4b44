"""A column's distinct values, and what they look like: whole numbers, texts, moments, lists."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.spelling.plain import is_list, plain

Family: TypeAlias = Literal[
    "none", "flag", "integer", "number", "moment", "text", "bytes", "nested"
]

_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_FLAG = r"^(?i)(true|false)$"
BINS = 64  # of numbers, where a few are enough
_EXACT = 2.0**53  # whole floats above it are not sure to be what was meant


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one column of one split.

    Attributes:
        name: The column's name.
        type: The Arrow type that the files have.
        codes: The place of each value in `distinct`, -1 where it is missing, int64: [n], or for
            lists all their entries one after the other.
        distinct: Each value once.
        lengths: The lengths of the lists, 0 for a missing one, [n]; None for one value a row.
    """

    name: str
    type: pa.DataType
    codes: np.ndarray
    distinct: pa.Array
    lengths: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.codes if self.lengths is None else self.lengths)

    @property
    def missing(self) -> np.ndarray:
        """True for each row without a value, or with an empty list, [n]."""
        if self.lengths is not None:
            return self.lengths == 0
        return self.codes < 0

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """How often each distinct value occurs."""
        present = self.codes[self.codes >= 0]
        return np.bincount(present, minlength=len(self.distinct))

    @functools.cached_property
    def bins(self) -> np.ndarray:
        """A small number for each row: its value, or the bin of its number; 0 where it is missing.

        int64 [n]. Of a list it is the length.
        """
        if self.lengths is not None:
            return np.minimum(self.lengths, BINS)
        is_ordered = self.family in ("integer", "number", "moment")
        if not is_ordered or len(self.distinct) <= BINS:
            return self.codes + 1
        numbers = np.append(self.numbers, np.nan)[self.codes]  # the last one is for code -1
        finite = numbers[np.isfinite(numbers)]
        if not len(finite):
            return np.zeros(len(numbers), np.int64)
        edges = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, BINS)[:-1]))
        of_distinct = 1 + np.searchsorted(edges, self.numbers, side="left")
        of_distinct = np.where(np.isfinite(self.numbers), of_distinct, 0)
        return np.append(of_distinct, 0)[self.codes]

    @functools.cached_property
    def family(self) -> Family:
        """What the values look like."""
        return family_of(self.distinct)

    @functools.cached_property
    def numbers(self) -> np.ndarray:
        """The distinct values as float64; NaN for what is no number."""
        return as_numbers(self.distinct)

    @functools.cached_property
    def texts(self) -> list[str]:
        """The distinct values as texts."""
        return as_texts(self.distinct)


def values_of(
    name: str,
    column: pa.ChunkedArray,
    missing: Sequence[str],
    separator: str = "",
) -> Values:
    """Finds the distinct values of a column.

    Args:
        name: The column's name.
        column: The column, [n].
        missing: The texts that mean a missing value, beside the empty one.
        separator: What stands between the entries of lists that are written as texts. By default,
            "", texts are no lists.
    """
    array = _simple(column.combine_chunks())
    kind = column.type
    if separator and pa.types.is_string(array.type):
        cells = _without(array, ("",))
        array = pc.split_pattern(cells, separator)
    if not is_list(array.type):
        codes, distinct = _encoded(array, missing)
        return Values(name, kind, codes, distinct)
    counts = pc.fill_null(pc.list_value_length(array), 0)
    lengths = counts.to_numpy(zero_copy_only=False).astype(np.int64)
    codes, distinct = _encoded(_simple(array.flatten()), missing)
    return Values(name, kind, codes, distinct, lengths)


def _simple(array: pa.Array) -> pa.Array:
    """The same values in a type that has distinct values."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    array = plain(array)
    kind = array.type
    if pa.types.is_large_string(kind):
        return array.cast(pa.string())
    if pa.types.is_large_binary(kind):
        return array.cast(pa.binary())
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.array(array.to_pylist(), pa.list_(kind.value_type))
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    return array


def _without(array: pa.Array, texts: Sequence[str]) -> pa.Array:
    """The texts with those that mean a missing value made null."""
    is_missing = pc.is_in(array, pa.array(texts, array.type))
    return pc.if_else(is_missing, pa.scalar(None, array.type), array)


def _encoded(array: pa.Array, missing: Sequence[str]) -> tuple[np.ndarray, pa.Array]:
    """The place of each value among the distinct ones, and those."""
    if pa.types.is_nested(array.type):
        array = pa.array([str(value) for value in array.to_pylist()])
    if pa.types.is_null(array.type):
        return np.full(len(array), -1), pa.array([], pa.null())
    encoded = pc.dictionary_encode(array)
    indices = pc.fill_null(encoded.indices, -1)
    codes = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = encoded.dictionary
    is_missing = _means_missing(distinct, missing)
    if is_missing.any():
        places = np.cumsum(~is_missing) - 1
        places[is_missing] = -1
        codes = np.where(codes < 0, -1, places[codes])
        distinct = distinct.filter(pa.array(~is_missing))
    return codes, distinct


def _means_missing(distinct: pa.Array, missing: Sequence[str]) -> np.ndarray:
    """True for each distinct value that means that there is none."""
    kind = distinct.type
    if pa.types.is_floating(kind):
        found = pc.is_nan(distinct)
    elif pa.types.is_string(kind):
        found = pc.is_in(distinct, pa.array(["", *missing]))
    elif pa.types.is_binary(kind):
        words = [text.encode() for text in ("", *missing)]
        found = pc.is_in(distinct, pa.array(words, kind))
    else:
        return np.zeros(len(distinct), bool)
    return found.to_numpy(zero_copy_only=False)


def family_of(distinct: pa.Array) -> Family:
    """What values look like; texts of numbers are numbers, as in CSV files.

    Args:
        distinct: The values.
    """
    kind = distinct.type
    if len(distinct) == 0:
        return "none"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind):
        largest = pc.max(distinct).as_py()
        return "integer" if largest < 2**63 else "text"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _family_of_numbers(as_numbers(distinct))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "moment"
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return "number"
    if pa.types.is_string(kind):
        return _family_of_texts(distinct)
    if pa.types.is_binary(kind):
        return "text" if _decoded(distinct) is not None else "bytes"
    return "bytes" if pa.types.is_fixed_size_binary(kind) else "nested"


def _family_of_numbers(numbers: np.ndarray) -> Family:
    is_whole = np.isfinite(numbers) & (numbers == np.floor(numbers))
    is_exact = np.abs(numbers) <= _EXACT
    return "integer" if bool((is_whole & is_exact).all()) else "number"


def _family_of_texts(distinct: pa.Array) -> Family:
    are_digits = pc.all(pc.match_substring_regex(distinct, r"^-?[0-9]+$")).as_py()
    if are_digits and any(abs(int(text)) >= 2**63 for text in distinct.to_pylist()):
        return "text"  # ids that no integer type but an unsigned one can hold
    patterns: list[tuple[str, Family]] = [
        (_INTEGER, "integer"),
        (_MOMENT, "moment"),
        (_FLAG, "flag"),
    ]
    for pattern, family in patterns:
        if pc.all(pc.match_substring_regex(distinct, pattern)).as_py():
            return family
    has_leading_zeros = pc.any(pc.match_substring_regex(distinct, r"^-?0[0-9]")).as_py()
    numbers = as_numbers(distinct)
    if has_leading_zeros or not np.isfinite(numbers).all():
        return "text"
    is_written_whole = pc.all(pc.match_substring_regex(distinct, r"^-?[0-9]+(\.0*)?$")).as_py()
    return _family_of_numbers(numbers) if is_written_whole else "number"


def as_numbers(distinct: pa.Array) -> np.ndarray:
    """Values as float64, flags as 0 and 1, moments as their own unit; NaN for what is no number."""
    kind = distinct.type
    if pa.types.is_temporal(kind):
        has_32_bits = pa.types.is_date32(kind) or pa.types.is_time32(kind)
        distinct = distinct.cast(pa.int32() if has_32_bits else pa.int64())
    if pa.types.is_string(kind):
        words = pc.utf8_lower(distinct)
        distinct = pc.if_else(pc.equal(words, "true"), "1", distinct)
        distinct = pc.if_else(pc.equal(words, "false"), "0", distinct)
    try:
        numbers = distinct.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not pa.types.is_string(kind):
            return np.full(len(distinct), np.nan)
        return np.array([_number(text) for text in distinct.to_pylist()], float)
    return numbers.to_numpy(zero_copy_only=False)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def as_texts(distinct: pa.Array) -> list[str]:
    """Values as texts, as a schema would name them."""
    if pa.types.is_floating(distinct.type):
        return [f"{value:.0f}" if value.is_integer() else str(value) for value in _python(distinct)]
    return [str(value) for value in _python(distinct)]


def _python(distinct: pa.Array) -> list[Any]:
    decoded = _decoded(distinct) if pa.types.is_binary(distinct.type) else distinct
    values: list[Any] = (distinct if decoded is None else decoded).to_pylist()
    return values


def _decoded(distinct: pa.Array) -> pa.Array | None:
    """Bytes as text; None if they are not UTF-8."""
    try:
        return distinct.cast(pa.string())
    except pa.ArrowInvalid:
        return None
