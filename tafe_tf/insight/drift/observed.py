"""What rows hold, counted as training counted its own, and how many independent ones they are."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.features.profile import (
    Present,
    are_there,
    by_cell,
    counted,
    is_list,
    is_number,
    weight_columns,
)
from tafe_tf.schema import ABSENT, Column, Schema


class ClusteredCounts:
    """Counts of cells in clusters, such as the rows of a call, which are not independent.

    Attributes:
        counts: How often each cell occurred.
        total: How often any did.
    """

    def __init__(self) -> None:
        self.counts: collections.Counter[Any] = collections.Counter()
        self.total = 0
        self._clusters = 0
        self._squares = 0  # sum of c^2 over clusters and cells
        self._sizes = 0  # sum of w^2 over clusters
        self._weighted: collections.Counter[Any] = collections.Counter()  # sum of c w by cell

    def add_cluster(self, counts: Mapping[Any, int]) -> None:
        """Adds the counts of a cluster."""
        size = sum(counts.values())
        if size == 0:
            return
        self._clusters += 1
        self.total += size
        self._sizes += size * size
        for cell, count in counts.items():
            self.counts[cell] += count
            self._squares += count * count
            self._weighted[cell] += count * size

    def add_independent(self, counts: Mapping[Any, int]) -> None:
        """Adds counts of which each is a cluster of its own."""
        size = sum(counts.values())
        self._clusters += size
        self.total += size
        self._sizes += size
        self._squares += size
        self.counts.update(counts)
        self._weighted.update(counts)

    def effective(self) -> float:
        """The number of independent values that would vary as much as these do, 1 or more.

        The variance of the shares between clusters, summed over the cells, beside that of
        independent values: Rao's and Scott's design effect. One cluster tells nothing of it, and
        counts as one value; clusters of one and the same value count as one each.
        """
        if self._clusters < 2:
            return 1.0
        shares = {cell: count / self.total for cell, count in self.counts.items()}
        of_squares = sum(share * share for share in shares.values())
        independent = (1.0 - of_squares) * self.total
        if independent <= 0.0:
            return float(self._clusters)
        between = sum(shares[cell] * weighted for cell, weighted in self._weighted.items())
        varied = self._squares - 2.0 * between + self._sizes * of_squares
        effect = self._clusters / (self._clusters - 1) * varied / independent
        return max(self.total / max(effect, 1.0), 1.0)


class ColumnObserved:
    """Counts a column's values by the cells of its profile.

    Args:
        column: The column.
        profile: What training noted of it, see `Profile.described`.
        is_weight: Whether it holds the weights of lists.
        missing: The texts that mean a missing value.

    Attributes:
        rows: The number of rows.
        values: Its values: buckets of numbers, texts, or cells of texts.
        missing: Rows with a value (False) and without any (True).
        lengths: Rows by how many values they have.
    """

    def __init__(
        self,
        column: Column,
        profile: Mapping[str, Any],
        is_weight: bool,
        missing: Sequence[str],
    ) -> None:
        self._column = column
        self._is_weight = is_weight
        self._missing = {text.encode() for text in missing} | set(missing)
        self._edges = np.array(profile.get("edges", []), np.float32)
        self._in_cells = "cells" in profile
        self.rows = 0
        self.values = ClusteredCounts()
        self.missing = ClusteredCounts()
        self.lengths = ClusteredCounts()

    def add(self, raw: np.ndarray, is_call: bool) -> None:
        """Counts rows, [n] or [n, any length].

        Args:
            raw: The column, as a signature or a block has it.
            is_call: Whether the rows are those of a call, and not independent.
        """
        present = Present(self._column, self._as_trained(raw), self._is_weight)
        self.rows += len(raw)
        is_missing = collections.Counter((present.of_row == 0).tolist())
        lengths = collections.Counter(present.of_row.tolist())
        pairs = (
            (self.values, self._cells(present.values)),
            (self.missing, is_missing),
            (self.lengths, lengths),
        )
        for counts, here in pairs:
            if is_call:
                counts.add_cluster(here)
            else:
                counts.add_independent(here)

    def _as_trained(self, raw: np.ndarray) -> np.ndarray:
        """The values that the model would read: longer lists are cut at their older end."""
        if self._column.dtype == "string":
            flat = [b"" if text in self._missing else text for text in raw.reshape(-1).tolist()]
            raw = np.array(flat, object).reshape(raw.shape)
        most = self._column.max_length
        if not is_list(self._column) or raw.shape[1] <= most:
            return raw
        if self._column.keep == "first":
            return raw[:, :most]
        is_there = are_there(self._column, raw, self._is_weight)
        return _last(raw, is_there, most)

    def _cells(self, values: np.ndarray) -> Mapping[Any, int]:
        if is_number(self._column):
            places = np.searchsorted(self._edges, values.astype(np.float32), side="left")
            return collections.Counter(places.tolist())
        counts = counted(values)
        return by_cell(counts.items()) if self._in_cells else counts


class RowsObserved:
    """Counts rows, and the scores that they were given.

    Args:
        schema: The dataset's.
        profile: What training noted, see `tafe_tf.features.profile`.

    Attributes:
        rows: The number of rows.
        columns: The counts of each column, by its name.
        scores: The counts of each output's scores between deciles, by its name.
    """

    def __init__(self, schema: Schema, profile: Mapping[str, Any]) -> None:
        weights = weight_columns(schema)
        self.rows = 0
        self.columns = {}
        for column in schema.served_inputs:
            of_column = profile["columns"][column.name]
            is_weight = column.name in weights
            observed = ColumnObserved(column, of_column, is_weight, schema.missing)
            self.columns[column.name] = observed
        self._deciles = {}
        for name, noted in profile.get("scores", {}).items():
            self._deciles[name] = np.array(noted["edges"], np.float32)
        self.scores = {name: ClusteredCounts() for name in self._deciles}

    def add(self, columns: Mapping[str, np.ndarray], count: int, is_call: bool) -> None:
        """Counts rows by the names of their columns, [count, ...] each."""
        self.rows += count
        for name, observed in self.columns.items():
            observed.add(columns[name], is_call)

    def add_scores(self, scores: Mapping[str, np.ndarray], is_call: bool) -> None:
        """Counts scores, [n] by the name of their output; others than the model's are left out."""
        for name, edges in self._deciles.items():
            if name not in scores:
                continue
            given = np.asarray(scores[name], np.float32)
            places = np.searchsorted(edges, given, side="left")
            counts = collections.Counter(places.tolist())
            if is_call:
                self.scores[name].add_cluster(counts)
            else:
                self.scores[name].add_independent(counts)


def _last(raw: np.ndarray, is_there: np.ndarray, most: int) -> np.ndarray:
    """The last values of lists, [n, most]; a list ends behind its last value that is there.

    Args:
        raw: The lists, [n, any].
        is_there: Which of their values are there, [n, any].
        most: How many values are kept.
    """
    places = np.arange(1, raw.shape[1] + 1)
    ends = np.max(np.where(is_there, places, 0), axis=1, keepdims=True)
    starts = np.maximum(ends - most, 0)
    return np.take_along_axis(raw, starts + np.arange(most), axis=1)


def padded(column: Column, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The values of several calls below each other; lists become as long as the longest."""
    if not column.max_length:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    filled = []
    for part in parts:
        width = ((0, 0), (0, longest - part.shape[1]))
        absent = b"" if part.dtype == object else ABSENT[column.dtype]
        filled.append(np.pad(part, width, constant_values=absent))
    return np.concatenate(filled)
