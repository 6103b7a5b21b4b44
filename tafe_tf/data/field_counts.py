"""How many values of each field are missing, and how many did training not see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.schema import MISSING, UNSEEN

Shares = Mapping[str, float]

KINDS = ("missing", "unseen")

# A share has jumped if it is above that of training by more than this, beside chance.
JUMP = 0.1
NEARLY_ALL = 0.9  # a share above it leaves a field next to nothing to say
_STANDARD_ERRORS = 3.0
_LARGEST_DEVIATION = 0.5  # of one value that is unseen or not, whatever the share


def training_shares(described: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The shares of the training rows, by "missing" and "unseen" and then by field.

    Args:
        described: What an export says of itself, see `tafe_tf.export.description`. Fields are left
            out where training did not count.
    """
    shares: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        shares[kind] = {}
        for field in described["fields"]:
            if field[kind] is not None:
                shares[kind][field["name"]] = field[kind]
    return shares


def nearly_all_unseen(shares: Shares) -> list[str]:
    """Says of which fields nearly all values have no row of the table, so that they say nothing.

    Args:
        shares: The share of each field's values that are unseen.

    Returns:
        A sentence for each share above 0.9.

    Example:
        >>> nearly_all_unseen({"hour": 0.97, "item": 0.2})
        ["field 'hour': 97.0% of its values are unseen, so that it says nothing; ..."]
    """
    mend = "is `size` too small, `min_count` too large, or another column meant?"
    found = []
    for field, share in shares.items():
        if share > NEARLY_ALL:
            what = f"field {field!r}: {share:.1%} of its values are unseen"
            found.append(f"{what}, so that it says nothing; {mend}")
    return found


class FieldCounts:
    """Counts the values of each field, and those of them that are missing or unseen.

    A field has one value a row. A list has as many as are present in it, and a list without any is
    one missing value, as it is for the model.

    Args:
        fields: The names of the F fields, in the schema's order.

    Attributes:
        fields: The names of the fields.
        counts: int64 [F, 3]: the values, the missing ones and the unseen ones of each field.

    Example:
        >>> import numpy as np
        >>> from tafe_tf.data.field_counts import FieldCounts
        >>> seen = FieldCounts(["user", "tags"])
        >>> ids = np.array([[2, 3, 0], [0, 1, 1]])  # one user, then a list of two tags
        >>> seen.add_ids(ids, slots=(1, 2))
        >>> seen.shares("unseen")  # one of two users, and one of three tags
        {'user': 0.5, 'tags': 0.3333333333333333}
        >>> seen.shares("missing")
        {'user': 0.0, 'tags': 0.3333333333333333}
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.counts = np.zeros((len(self.fields), 3), np.int64)

    def add_ids(self, ids: np.ndarray, slots: Sequence[int]) -> None:
        """Counts rows by their ids.

        Args:
            ids: Ids as `Features` gives them, [B, S].
            slots: The number of ids of each field; their sum is S.
        """
        starts = np.cumsum([0, *slots[:-1]])
        present = np.add.reduceat(ids != MISSING, starts, axis=1, dtype=np.int64)
        unseen = np.add.reduceat(ids == UNSEEN, starts, axis=1, dtype=np.int64)
        is_missing = present == 0
        values = np.maximum(present, 1)
        counted = np.stack([values, is_missing, unseen], axis=-1)  # [B, F, 3]
        self.counts += counted.sum(axis=0)

    def add_rows(
        self,
        unseen: np.ndarray,
        missing: np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Counts rows by what the signature `fields` of an export answers, [B, F] each."""
        counted = np.stack([values, missing * values, unseen * values], axis=-1)
        self.counts += np.rint(counted).astype(np.int64).sum(axis=0)

    def add_unseen(self, field: str, count: int) -> None:
        """Adds to the unseen values of a field."""
        self.counts[self.fields.index(field), 2] += count

    def merge(self, counts: np.ndarray) -> None:
        """Adds the counts of other rows, [F, 3]."""
        self.counts += counts

    def shares(self, kind: str) -> dict[str, float]:
        """The share of each field's values that are "missing" or "unseen"; 0 without any value."""
        column = {"missing": 1, "unseen": 2}[kind]
        values = np.maximum(self.counts[:, 0], 1)
        shares = self.counts[:, column] / values
        return dict(zip(self.fields, shares.tolist(), strict=True))

    def shares_of_all(self) -> dict[str, dict[str, float]]:
        """The shares of all fields, under "missing" and "unseen"."""
        return {kind: self.shares(kind) for kind in KINDS}

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The shares of all fields and, under "values", the number of each field's values."""
        values = dict(zip(self.fields, self.counts[:, 0].tolist(), strict=True))
        return {"values": values, **self.shares_of_all()}

    def as_metrics(self) -> dict[str, float | int | None]:
        """The same by names such as "unseen/user", as metrics are named."""
        metrics: dict[str, float | int | None] = {}
        for kind, of_fields in self.as_json().items():
            for field, value in of_fields.items():
                metrics[f"{kind}/{field}"] = value
        return metrics

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, Any]) -> FieldCounts:
        """The counts behind `as_metrics`, of no field if the metrics hold none."""
        stored: dict[str, dict[str, Any]] = {kind: {} for kind in ("values", *KINDS)}
        for name, value in metrics.items():
            kind, _, field = name.partition("/")
            if kind in stored:
                stored[kind][field] = value
        return cls.of_json(stored)

    @classmethod
    def of_json(cls, stored: Mapping[str, Mapping[str, Any]]) -> FieldCounts:
        """The counts behind `as_json`."""
        counts = cls(list(stored["values"]))
        for i, (field, values) in enumerate(stored["values"].items()):
            shares = [stored[kind][field] for kind in KINDS]
            counts.counts[i] = [values, *(round(share * values) for share in shares)]
        return counts

    def jumps(self, training: Mapping[str, Shares]) -> list[str]:
        """Says where a share is far above that of training.

        A share has jumped if it is more than 0.1 above training's, and not by chance: a share of n
        values has a standard error of at most 0.5 / sqrt(n), and three of them are added.

        Args:
            training: The shares of the training rows, by "missing" and "unseen" and then by field.

        Returns:
            A sentence for each jump.
        """
        found = []
        for kind in KINDS:
            before = training.get(kind, {})
            for i, (field, share) in enumerate(self.shares(kind).items()):
                error = _LARGEST_DEVIATION / math.sqrt(max(int(self.counts[i, 0]), 1))
                limit = before.get(field, math.inf) + JUMP + _STANDARD_ERRORS * error
                if share > limit:
                    found.append(
                        f"field {field!r}: {share:.1%} of its values are {kind}, "
                        f"and {before[field]:.1%} were in training"
                    )
        return found
