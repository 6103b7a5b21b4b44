"""Rows, labels and values of training files, counted block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from tafe_tf.data.blocks.block import Block
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.features.amount_counts import AmountCounts
from tafe_tf.features.number_counts import NumberCounts, norms
from tafe_tf.features.profile import Profile
from tafe_tf.metrics.depths import counts_of_intervals, shares_of_depths
from tafe_tf.schema import ABSENT, UNKNOWN, Feature, Schema


class RowCounts:
    """Counts the rows of blocks.

    Args:
        schema: The dataset's schema.

    Attributes:
        rows: The number of rows.
        unknown: The rows that do not know the label, for each task, [N].
        intervals: The rows by what they know of the funnel, see `metrics.depths`,
            [N + 1, N + 1].
        positives: The rows whose label is 1, for each task, [N].
        fields: The values of each field, without the unseen ones of vocabularies, which only the
            counts of all values tell.
        amounts: The amounts; none are counted where the schema has none.
        numbers: The numbers of each feature that is scaled by them, by its name, with those of
            features that share its rows.
        profile: The values of each column, for comparisons with later rows.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.rows = 0
        self.unknown = np.zeros(len(schema.tasks), np.int64)
        size = len(schema.tasks) + 1
        self.intervals = np.zeros((size, size))
        self.positives = np.zeros(len(schema.tasks), np.int64)
        self.fields = FieldCounts([feature.name for feature in schema.counted_features])
        self.amounts = AmountCounts()
        self._scaled = [feature for feature in schema.features if feature.is_scaled]
        self.numbers = {feature.owner: NumberCounts() for feature in self._scaled}
        self.profile = Profile(schema)

    def add(self, block: Block) -> None:
        """Counts a block."""
        self.rows += len(block.row)
        labels = block.labels
        is_unknown = labels == UNKNOWN
        happened = labels == 1
        self.unknown += is_unknown.sum(axis=0)
        self.intervals += counts_of_intervals(
            happened.sum(axis=1),
            is_unknown.sum(axis=1),
            np.ones(len(labels)),
            len(self._schema.tasks),
        )
        self.positives += happened.sum(axis=0)
        of_fields = [_values(feature, block) for feature in self._schema.counted_features]
        self.fields.merge(np.array(of_fields))
        if self._schema.amount is not None:
            self.amounts.add(block.columns[self._schema.amount.column])
        for feature in self._scaled:
            raw = block.columns[feature.column]
            self.numbers[feature.owner].add(norms(raw) if feature.kind == "vector" else raw)
        self.profile.add(block.columns)

    def rates(self) -> list[float]:
        """The share of all rows that each step happens in, [N].

        Where labels are unknown, the share is that of the greatest likelihood, see
        `metrics.depths`.
        """
        if not self.unknown.any():
            return [positive / max(self.rows, 1) for positive in self.positives.tolist()]
        shares = shares_of_depths(self.intervals)
        of_deeper = np.cumsum(shares[::-1])[::-1]  # P(depth >= k), k = 0..N
        rates: list[float] = of_deeper[1:].tolist()
        return rates

    @property
    def negatives(self) -> int:
        """The rows that know that the first step did not happen."""
        return int(self.intervals[0, 0])

    def untold(self) -> list[int]:
        """The steps of which no row tells that may have come so far, from 0.

        A row whose step before did not happen tells nothing of a step.
        """
        depth, unknown = np.nonzero(self.intervals)
        ends = depth + unknown
        found = []
        for i in range(len(self.unknown)):
            tells = (depth > i) | ((depth == i) & (unknown == 0))
            may_reach = ends >= i
            if may_reach.any() and not tells.any():
                found.append(i)
        return found

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {
            "rows": self.rows,
            "unknown": self.unknown.tolist(),
            "intervals": self.intervals.tolist(),
            "positives": self.positives.tolist(),
            "fields": self.fields.counts.tolist(),
            "amounts": self.amounts.sums.tolist(),
            "numbers": {name: counts.as_json() for name, counts in self.numbers.items()},
            "profile": self.profile.as_json(),
        }

    def add_json(self, counted: dict[str, Any]) -> None:
        """Adds what another process counted."""
        self.rows += counted["rows"]
        self.unknown += np.array(counted["unknown"], np.int64)
        self.intervals += np.array(counted["intervals"])
        self.positives += np.array(counted["positives"], np.int64)
        self.fields.merge(np.array(counted["fields"], np.int64))
        self.amounts.sums += np.array(counted["amounts"], np.int64)
        for name, counts in self.numbers.items():
            counts.add_json(counted["numbers"][name])
        self.profile.add_json(counted["profile"])


def _values(feature: Feature, block: Block) -> tuple[int, int, int]:
    """A feature's values in a block, the missing ones of them, and the unseen integers."""
    raw = block.columns[feature.column].reshape(len(block.row), -1)
    present = _present(raw, feature)
    if feature.kind == "vector":  # is one value
        present = np.all(present, axis=1, keepdims=True)
    of_row = present.sum(axis=1)
    missing = int((of_row == 0).sum())
    values = int(of_row.sum()) + missing
    if feature.kind != "integer":
        return values, missing, 0
    is_known = (raw >= 0) & (raw < feature.size)
    unseen = int((present & ~is_known).sum())
    return values, missing, unseen


def _present(raw: np.ndarray, feature: Feature) -> np.ndarray:
    """Where raw values are not missing."""
    if feature.raw_dtype == "string":
        return raw.astype(np.bool_)  # of texts and bytes, the empty ones are false
    if feature.raw_dtype == "int64":
        return np.asarray(raw != ABSENT["int64"])
    return ~np.isnan(raw)
