"""What the columns of the training rows hold, against which later rows are compared.

`profile.json` in a run, and in an export of it, has it: how often values occur, histograms of
numbers, lengths of lists, and the shares of what is missing and unseen. See `Profile.described`.

All counts are the same for any order of the rows and any division into files, blocks and workers.
"""

from __future__ import annotations

import collections
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tafe_tf.features.number_counts import NumberCounts, norms
from tafe_tf.schema import ABSENT, Column, Schema

FILE = "profile.json"
MOST_VALUES = 1 << 16  # different values of a column that are counted one by one
CELLS = 4096  # that values share by their hash, where there are more of them
TOP = 1000  # values of a column that the file names
BUCKETS = 20  # of a histogram, with about equally many of the training rows' numbers each


def cell_of(value: str) -> int:
    """The cell of a value, 0 to 4,095, the same everywhere."""
    return zlib.crc32(value.encode("utf-8", "surrogatepass")) % CELLS


class ValueShares:
    """How often each value of a column occurs; in cells by hash once there are too many values.

    Args:
        most: How many different values are counted one by one. Default: 65,536.

    Attributes:
        counts: The values, or the numbers of the cells, each with its count.
        in_cells: Whether they are cells.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self.counts: collections.Counter[Any] = collections.Counter()
        self.in_cells = False

    def add(self, values: np.ndarray) -> None:
        """Counts values, [n] of int64, str or bytes, of which none is missing."""
        self._merge(counted(values))

    def _merge(self, counts: Mapping[Any, int]) -> None:
        if self.in_cells:
            counts = by_cell(counts.items())
        self.counts.update(counts)
        if not self.in_cells and len(self.counts) > self._most:
            self.counts = by_cell(self.counts.items())
            self.in_cells = True

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {"in_cells": self.in_cells, "counts": list(self.counts.items())}

    def add_json(self, stored: Mapping[str, Any]) -> None:
        """Adds what another process counted."""
        if stored["in_cells"] and not self.in_cells:
            self.counts = by_cell(self.counts.items())
            self.in_cells = True
        if stored["in_cells"]:
            self.counts.update(dict(stored["counts"]))
        else:
            self._merge(dict(stored["counts"]))

    def described(self) -> dict[str, Any]:
        """See `Profile.described`."""
        if self.in_cells:
            return {"cells": [self.counts[cell] for cell in range(CELLS)]}
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        rest = ranked[TOP:]
        return {
            "top": [list(item) for item in ranked[:TOP]],
            "rest": {"values": len(rest), "count": sum(count for _, count in rest)},
        }


def counted(values: np.ndarray) -> dict[str, int]:
    """How often each of some values occurs, by its text.

    Args:
        values: [n] of int64, str or bytes.
    """
    if values.dtype.kind == "i":
        distinct, counts = np.unique(values, return_counts=True)
        return dict(zip(map(str, distinct.tolist()), counts.tolist(), strict=True))
    found: dict[str, int] = {}
    for value, count in collections.Counter(values.tolist()).items():
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        found[text] = found.get(text, 0) + count
    return found


def by_cell(counts: Iterable[tuple[str, int]]) -> collections.Counter[int]:
    """The counts of values by the cells that they fall into."""
    cells: collections.Counter[int] = collections.Counter()
    for value, count in counts:
        cells[cell_of(value)] += count
    return cells


class Present:
    """The values of a column in some rows, without the missing ones.

    Args:
        column: The column.
        raw: Its values, [n], or [n, length] for lists, as `Block.columns` has them.
        is_weight: Whether it holds the weights of lists, which are padded with 0.

    Attributes:
        values: [values]; of vectors their lengths.
        of_row: How many values each row has, [n].
    """

    def __init__(self, column: Column, raw: np.ndarray, is_weight: bool) -> None:
        if column.is_exact:
            raw = norms(raw)
        lists = raw.reshape(len(raw), -1)
        is_there = are_there(column, lists, is_weight)
        self.values = lists[is_there]
        self.of_row = is_there.sum(axis=1)


def are_there(column: Column, lists: np.ndarray, is_weight: bool) -> np.ndarray:
    """Which values of lists are there, and not missing or filled up behind the end.

    Args:
        column: The column.
        lists: [n, any].
        is_weight: Whether it holds the weights of lists.

    Returns:
        Booleans, [n, any].
    """
    if column.dtype == "string":
        return lists.astype(np.bool_)  # of texts and bytes, the empty ones are false
    if column.dtype == "int64":
        return np.asarray(lists != ABSENT["int64"])
    is_there = np.isfinite(lists)
    if is_weight:
        is_there &= lists != 0
    return is_there


class ColumnCounts:
    """Counts the values of one column.

    Args:
        column: The column.
        is_weight: Whether it holds the weights of lists.
    """

    def __init__(self, column: Column, is_weight: bool) -> None:
        self._column = column
        self._is_weight = is_weight
        self._is_number = is_number(column)
        self._counts: NumberCounts | ValueShares = ValueShares()
        if self._is_number:
            self._counts = NumberCounts()
        self._lengths = np.zeros(_slots(column) + 1, np.int64)

    def add(self, raw: np.ndarray) -> None:
        """Counts the values of rows, see `Present`."""
        present = Present(self._column, raw, self._is_weight)
        self._counts.add(present.values)
        self._lengths += np.bincount(present.of_row, minlength=len(self._lengths))

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {"counts": self._counts.as_json(), "lengths": self._lengths.tolist()}

    def add_json(self, stored: Mapping[str, Any]) -> None:
        """Adds what another process counted."""
        self._counts.add_json(stored["counts"])
        self._lengths += np.array(stored["lengths"], np.int64)

    def described(self) -> dict[str, Any]:
        """See `Profile.described`."""
        found: dict[str, Any] = {
            "rows": int(self._lengths.sum()),
            "missing": int(self._lengths[0]),
            "values": int(self._lengths @ np.arange(len(self._lengths))),
        }
        if is_list(self._column):
            found["lengths"] = self._lengths.tolist()
        if isinstance(self._counts, NumberCounts):
            return {**found, **_histogram(self._counts, BUCKETS)}
        return {**found, **self._counts.described()}


class Profile:
    """Counts the values of the columns that a served model takes.

    Args:
        schema: The dataset's.
    """

    def __init__(self, schema: Schema) -> None:
        weights = weight_columns(schema)
        self._columns = {
            column.name: ColumnCounts(column, column.name in weights)
            for column in schema.served_inputs
        }

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Counts rows, by `Block.columns`."""
        for name, counts in self._columns.items():
            counts.add(columns[name])

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {name: counts.as_json() for name, counts in self._columns.items()}

    def add_json(self, stored: Mapping[str, Any]) -> None:
        """Adds what another process counted."""
        for name, counts in self._columns.items():
            counts.add_json(stored[name])

    def described(self) -> dict[str, Any]:
        """What `profile.json` says of each column, by its name.

        Returns:
            "rows"; "missing", the rows without any value; "values", of all rows; for lists
            "lengths", the rows by how many values they have, from 0. Of numbers "edges" and
            "counts", the numbers up to and including each edge and, last, above all of them; and
            "low" and "high", the smallest and the largest number. Of other columns "top", the
            values that occur most, with their counts, and "rest", how many further values there are
            and how often they occur together; or "cells", counts by the hash of the value, where
            there are more than 65,536 of them.
        """
        return {name: counts.described() for name, counts in self._columns.items()}


def weight_columns(schema: Schema) -> set[str]:
    """The columns that hold the weights of lists."""
    return {feature.weights for feature in schema.features if feature.weights}


def is_number(column: Column) -> bool:
    """Whether a column's values are numbers, of which neighbours mean something alike."""
    return column.dtype in ("float32", "float64")


def is_list(column: Column) -> bool:
    """Whether a row may have several values."""
    return column.max_length > 0 and not column.is_exact


def _slots(column: Column) -> int:
    return column.max_length if is_list(column) else 1


def _histogram(counts: NumberCounts, most: int) -> dict[str, Any]:
    edges = counts.edges(most)
    numbers = counts.numbers
    buckets = np.searchsorted(edges, numbers, side="left")
    totals = np.bincount(buckets, counts.counts, minlength=len(edges) + 1)
    has_any = len(numbers) > 0
    return {
        "edges": edges.astype(np.float64).tolist(),
        "counts": totals.astype(np.int64).tolist(),
        "low": float(numbers[0]) if has_any else None,
        "high": float(numbers[-1]) if has_any else None,
    }


def deciles(counts: NumberCounts) -> dict[str, Any]:
    """The deciles of scores, and how many scores lie between them.

    Returns:
        "edges", each decile once, "counts" up to and including each edge and above the last, and
        "rows".
    """
    histogram = _histogram(counts, 10)
    return {
        "rows": int(counts.counts.sum()),
        "edges": histogram["edges"],
        "counts": histogram["counts"],
    }
