"""Blocks of rows, and what becomes of bad ones."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

WHOLE_ROW = "*"  # the column of a problem with the row's width

Policy = Literal["raise", "drop"]


class DataError(ValueError):
    """A file cannot be used; the message starts with its name."""


def check_columns(path: str, names: Sequence[str], present: Sequence[str], where: str = "") -> None:
    """Raises DataError if a column to read is missing from a file, or stands there more than once."""
    for name in names:
        count = present.count(name)
        if count != 1:
            what = f"stands {count} times{where}" if count else "is missing"
            raise DataError(f"{path}: column {name!r} {what}; the columns are {', '.join(present)}")


class BadRowError(DataError):
    """A row breaks a rule; the message names file, row, column and value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive rows of one file; n rows, N tasks.

    Attributes:
        columns: by name; [n] of int64, float32, float64 or object (str, or bytes from TFRecord: TensorFlow takes
            both), or [n, max_length] for lists, padded with the dtype's `schema.ABSENT` (weights with 0).
        labels: uint8 [n, N]; [n, 0] where labels were not asked for.
        row: data rows inside the file, from 1, int64 [n].
        file: index of the file, int32 [n].
        raw_rows: rows that the block had before bad ones were dropped, CSV rows of a wrong width not counted.
        kept: columns that were asked for as Arrow arrays, by name, n long.
    """

    columns: dict[str, np.ndarray]
    labels: np.ndarray
    row: np.ndarray
    file: np.ndarray
    raw_rows: int
    kept: dict[str, pa.Array] = dataclasses.field(default_factory=dict)

    def take(self, good: np.ndarray) -> Block:
        """The rows that a mask [n] picks; `raw_rows` stays."""
        return Block(
            columns={name: values[good] for name, values in self.columns.items()},
            labels=self.labels[good],
            row=self.row[good],
            file=self.file[good],
            raw_rows=self.raw_rows,
            kept={name: array.filter(pa.array(good)) for name, array in self.kept.items()},
        )


@dataclasses.dataclass(frozen=True)
class Problem:
    """One reason why a row is bad: its place in the block, the column, the rule and the value received."""

    index: int
    column: str
    rule: str
    value: object

    @property
    def place(self) -> str:
        """The column, for messages."""
        return "" if self.column == WHOLE_ROW else f", column {self.column!r}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropped:
    """Rows of one file that were dropped for one reason: the column, the rule, how many, and the first one's text."""

    column: str
    rule: str
    rows: int
    first: str

    def __str__(self) -> str:
        return f"dropped {self.rows:,} rows, the first: {self.first}"


class BadRows:
    """What to do with bad rows: raise at the first, or drop, count and report.

    Args:
        policy: "raise" or "drop".
    """

    def __init__(self, policy: Policy = "raise") -> None:
        self.policy = policy
        self._rows: dict[tuple[str, str, str], set[int]] = collections.defaultdict(set)
        self._first: dict[tuple[str, str, str], str] = {}

    def judge(self, path: str, rows: np.ndarray, problems: list[Problem]) -> None:
        """Raises BadRowError for the first bad row, or notes all of them.

        Args:
            path: the file.
            rows: row numbers of the block.
            problems: what is wrong; may be empty.
        """
        for problem in sorted(
            problems, key=lambda p: int(rows[p.index])
        ):  # CSV rows of a wrong width come last
            row = int(rows[problem.index])
            text = f"{path}: row {row}{problem.place}: {problem.rule}. Received: {problem.value!r}"
            if self.policy == "raise":
                raise BadRowError(text)
            key = (path, problem.column, problem.rule)
            self._first.setdefault(key, text)
            self._rows[key].add(row)  # a set: the same rows come again in each epoch

    @property
    def count(self) -> int:
        """Number of different rows dropped so far."""
        return len({(path, row) for (path, _, _), rows in self._rows.items() for row in rows})

    def take(self) -> tuple[int, list[Dropped]]:
        """Hands over what was noted since the last time: the number of different rows, and the reasons."""
        taken = self.count, self.reasons()
        self._rows.clear()
        self._first.clear()
        return taken

    def reasons(self) -> list[Dropped]:
        """What was dropped, for each file, column and rule."""
        return [
            Dropped(column=key[1], rule=key[2], rows=len(rows), first=self._first[key])
            for key, rows in self._rows.items()
        ]

    def report(self) -> list[str]:
        """One line for each file, column and rule: how many rows, and the first."""
        return [str(dropped) for dropped in self.reasons()]
