"""The values of a column as slices of the rows: each value, or numbers by their quantiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = "(missing)"
OTHERS = "(other values)"
MOST = 50  # values of a column that are slices of their own
BUCKETS = 10  # of a number or a time that has more values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slicing:
    """How a column divides rows.

    Attributes:
        column: Its name.
        names: What the slices are called, such as "DE" or "3 to 7".
        place: The index of each row's slice, int64 [n].
    """

    column: str
    names: tuple[str, ...]
    place: np.ndarray


def slicing_of(
    column: str,
    values: pa.ChunkedArray,
    missing: Sequence[str] = (),
) -> Slicing:
    """Divides rows by the values of a column.

    Up to 50 values are a slice each. Of more, numbers, dates and times fall into ten buckets of
    like many rows, and of texts the rarer ones are one slice together. Texts that are numbers, as
    all columns of a CSV file are which the schema does not know, count as numbers.

    Args:
        column: The column's name.
        values: Its values, [n].
        missing: Texts that mean a missing value, beside the empty one. Default: none.

    Example:
        >>> country = pa.chunked_array([["DE", "FR", "", "DE"]])
        >>> slicing = slicing_of("country", country)
        >>> slicing.names, slicing.place.tolist()
        (('DE', 'FR', '(missing)'), [0, 1, 2, 0])
        >>> price = pa.chunked_array([np.arange(1000) / 4])
        >>> slicing_of("price", price).names[:2]
        ('0 to 24.75', '25 to 49.75')
    """
    array = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    array = _without_missing(array, missing)
    encoded = array.dictionary_encode()
    texts = _texts(encoded.dictionary)
    codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    codes = codes.astype(np.int64)
    order = _order(encoded.dictionary)
    if len(texts) <= MOST:
        names, place = _each(texts, codes, order)
    elif order is not None:
        names, place = _buckets(texts, codes, order)
    else:
        names, place = _frequent(texts, codes)
    return _without_empty(column, names, place)


def _texts(distinct: pa.Array) -> list[str]:
    """Values as slices are called by them; a float32 by the fewest digits that tell it."""
    values = distinct.to_pylist()
    if pa.types.is_float16(distinct.type) or pa.types.is_float32(distinct.type):
        values = [float(str(value)) for value in distinct.to_numpy()]
    return [_text(value) for value in values]


def _text(value: object) -> str:
    """A value as a slice is called by it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _without_missing(array: pa.Array, missing: Sequence[str]) -> pa.Array:
    """The array with null for what means a missing value."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_nan(array), None, array)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        texts = pa.array(["", *missing], array.type)
        return pc.if_else(pc.is_in(array, texts), None, array)
    return array


def _order(distinct: pa.Array) -> np.ndarray | None:
    """The order of the distinct values; None if they are texts that are no numbers."""
    try:
        numbers = distinct.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not pa.types.is_temporal(distinct.type):
            return None
        numbers = distinct
    return np.asarray(pc.sort_indices(numbers))


def _each(
    texts: list[str],
    codes: np.ndarray,
    order: np.ndarray | None,
) -> tuple[list[str], np.ndarray]:
    """A slice for each value."""
    if order is None:
        order = np.argsort(np.array(texts, dtype=object))
    rank = np.empty(len(texts) + 1, np.int64)
    rank[order] = np.arange(len(texts))
    rank[-1] = len(texts)
    return [*(texts[i] for i in order), MISSING], rank[codes]


def _buckets(
    texts: list[str],
    codes: np.ndarray,
    order: np.ndarray,
) -> tuple[list[str], np.ndarray]:
    """Slices of consecutive values; the rows of one value stay together."""
    rows = np.bincount(codes, minlength=len(texts) + 1)[:-1][order]  # of each value, in order
    before = np.cumsum(rows) - rows
    bucket = (before + rows / 2) / rows.sum() * BUCKETS
    bucket = np.minimum(bucket.astype(np.int64), BUCKETS - 1)
    names = []
    for i in range(BUCKETS):
        of_bucket = order[bucket == i]
        if not of_bucket.size:
            names.append("")  # no row is in it
            continue
        first, last = texts[of_bucket[0]], texts[of_bucket[-1]]
        names.append(first if first == last else f"{first} to {last}")
    place_of_value = np.empty(len(texts) + 1, np.int64)
    place_of_value[order] = bucket
    place_of_value[-1] = BUCKETS
    return [*names, MISSING], place_of_value[codes]


def _frequent(texts: list[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Slices of the most frequent values, and one of all others."""
    rows = np.bincount(codes, minlength=len(texts) + 1)[:-1]
    frequent = np.argsort(-rows, kind="stable")[:MOST]
    place_of_value = np.full(len(texts) + 1, MOST, np.int64)
    place_of_value[frequent] = np.arange(MOST)
    place_of_value[-1] = MOST + 1
    return [*(texts[i] for i in frequent), OTHERS, MISSING], place_of_value[codes]


def _without_empty(
    column: str,
    names: list[str],
    place: np.ndarray,
) -> Slicing:
    """A slicing without the slices in which no row is."""
    used, compact = np.unique(place, return_inverse=True)
    return Slicing(column=column, names=tuple(names[i] for i in used), place=compact)
