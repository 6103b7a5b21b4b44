"""What becomes of bad rows: stop at the first, or drop, count and report them."""

from __future__ import annotations

import collections
import dataclasses
from typing import Literal

import numpy as np

from tafe_tf.data.errors import BadRowError

WHOLE_ROW = "*"  # the column of a problem with the row's width

Policy = Literal["raise", "drop"]


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
