"""Rows, labels and values of training files, counted block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from tafe_tf.data.blocks.block import Block
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.schema import ABSENT, UNKNOWN, Feature, Schema


class RowCounts:
    """Counts the rows of blocks.

    Args:
        schema: The dataset's schema.

    Attributes:
        rows: The number of rows.
        unknown: The rows that do not know the label, for each task, [N].
        told: The rows that reached the step before and know the label, for each task, [N].
        positives: The rows whose label is 1, for each task, [N].
        fields: The values of each field, without the unseen ones of vocabularies, which only the
            counts of all values tell.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.rows = 0
        self.unknown = np.zeros(len(schema.tasks), np.int64)
        self.told = np.zeros(len(schema.tasks), np.int64)
        self.positives = np.zeros(len(schema.tasks), np.int64)
        self.fields = FieldCounts([feature.name for feature in schema.features])

    def add(self, block: Block) -> None:
        """Counts a block."""
        self.rows += len(block.row)
        labels = block.labels
        is_unknown = labels == UNKNOWN
        happened = labels == 1
        everyone = np.ones((len(labels), 1), np.bool_)
        reached = np.concatenate([everyone, happened[:, :-1]], axis=1)
        self.unknown += is_unknown.sum(axis=0)
        self.told += (reached & ~is_unknown).sum(axis=0)
        self.positives += happened.sum(axis=0)
        of_fields = [_values(feature, block) for feature in self._schema.features]
        self.fields.merge(np.array(of_fields))

    def rates(self) -> list[float]:
        """The share of all rows that each step happens in, [N].

        Where labels are unknown, the rows that reached the step before and know this one stand for
        those that do not.
        """
        if not self.unknown.any():
            return [positive / max(self.rows, 1) for positive in self.positives.tolist()]
        rates = []
        rate = 1.0
        for positive, told in zip(self.positives.tolist(), self.told.tolist(), strict=True):
            rate *= positive / max(told, 1)
            rates.append(rate)
        return rates

    def as_json(self) -> dict[str, Any]:
        """All counts, for `add_json` of another process."""
        return {
            "rows": self.rows,
            "unknown": self.unknown.tolist(),
            "told": self.told.tolist(),
            "positives": self.positives.tolist(),
            "fields": self.fields.counts.tolist(),
        }

    def add_json(self, counted: dict[str, Any]) -> None:
        """Adds what another process counted."""
        self.rows += counted["rows"]
        self.unknown += np.array(counted["unknown"], np.int64)
        self.told += np.array(counted["told"], np.int64)
        self.positives += np.array(counted["positives"], np.int64)
        self.fields.merge(np.array(counted["fields"], np.int64))


def _values(feature: Feature, block: Block) -> tuple[int, int, int]:
    """A feature's values in a block, the missing ones of them, and the unseen integers."""
    raw = block.columns[feature.column].reshape(len(block.row), feature.slots)
    present = _present(raw, feature)
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
