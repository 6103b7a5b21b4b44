"""What to do with bad rows: stop at the first, or drop or repair, count and report them."""

from __future__ import annotations

import collections
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable
from typing import Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

from tafe_tf.data import bad_row_limit
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.row_numbers import RowNumbers
from tafe_tf.shown import shown

WHOLE_ROW = "*"  # the column of a problem with the row's width

Policy = Literal["raise", "drop"]
Verdict = Literal["dropped", "dropped by the schema's `order`", "repaired"]
_Reason: TypeAlias = tuple[str, str, str, Verdict]  # file, column, rule, what was done
_P = ParamSpec("_P")
_R = TypeVar("_R")

_counting = threading.RLock()


def _by_one_thread(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Has one thread call at a time: training and validation read files side by side."""

    @functools.wraps(method)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _counting:
            return method(*args, **kwargs)

    return called


@dataclasses.dataclass(frozen=True)
class Problem:
    """One reason why a row is bad.

    Attributes:
        index: The row's place in its block, from 0.
        column: The column that breaks the rule, or `WHOLE_ROW`.
        rule: What the value must be.
        value: The value received.
        policy: What the schema says of such rows, whatever the policy of other bad rows. Default:
            None, it says nothing.
        lines: The lines of the file that the row takes. A row with more than one may hold others,
            of which it is not known where they end, so that each line counts. Default: 1.
    """

    index: int
    column: str
    rule: str
    value: object
    policy: Policy | None = None
    lines: int = 1

    @property
    def place(self) -> str:
        """The column, for messages."""
        return "" if self.column == WHOLE_ROW else f", column {shown(self.column)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropped:
    """Rows of one file that were dropped, or repaired, for one reason.

    Attributes:
        column: The column that breaks the rule.
        rule: What its values must be.
        rows: How many different rows were dropped or repaired, see `Problem.lines`.
        first: The message for the first of them.
        verdict: What was done with them. Default: "dropped", as `--on_bad_row` says.
    """

    column: str
    rule: str
    rows: int
    first: str
    verdict: Verdict = "dropped"

    def __str__(self) -> str:
        verb, *by = self.verdict.split(" ", 1)
        words = [verb, f"{self.rows:,} rows", *by]
        return f"{' '.join(words)}, the first: {self.first}"


class BadRows:
    """Judges bad rows, and keeps account of those that were dropped.

    Args:
        policy: "raise" to raise an error at the first bad row, or "drop" to leave bad rows out.
            Default: "raise".
        most: How many rows may be dropped, see `bad_row_limit.check_limit`; a share is one of the
            rows of the files that `check` names. Default: there is no limit.

    Raises:
        ValueError: If the limit is none.
    """

    def __init__(self, policy: Policy = "raise", most: str = bad_row_limit.NO_LIMIT) -> None:
        bad_row_limit.check_limit(most)
        self.policy = policy
        self.most = most
        self._dropped: dict[str, RowNumbers] = collections.defaultdict(RowNumbers)
        self._more_lines: dict[str, dict[int, int]] = collections.defaultdict(dict)
        self._rows: dict[_Reason, RowNumbers] = collections.defaultdict(RowNumbers)
        self._first: dict[_Reason, str] = {}
        self._seen: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    @_by_one_thread
    def note(self, key: str, text: str) -> None:
        """Keeps a word for the user about the files.

        Args:
            key: What the word is about; only the first word about it is kept.
            text: The word, which starts with the name of a file.
        """
        self._notes.setdefault(key, text)

    @property
    def notes(self) -> list[str]:
        """What was noted about the files, such as a delimiter that was found out."""
        return list(self._notes.values())

    @_by_one_thread
    def see(self, path: str, last: int) -> None:
        """Notes that a file has been read up to a row.

        Args:
            path: The file.
            last: The number of the row, from 1.
        """
        self._seen[path] = max(last, self._seen.get(path, 0))

    @property
    def seen(self) -> int:
        """The number of different rows seen so far, bad ones included.

        After a pass over whole files it is the number of their rows: those that the pass gave and,
        if `take` was not called, `count` more. A row counts once, however often it is read.
        """
        return sum(self._seen_of(path) for path in self._seen)

    @_by_one_thread
    def judge(
        self,
        path: str,
        rows: np.ndarray,
        problems: list[Problem],
    ) -> None:
        """Notes the bad rows of a block, or raises for the first of them.

        Args:
            path: The file, for messages.
            rows: The numbers of the block's rows in the file.
            problems: What is wrong with some of them; may be empty.

        Raises:
            BadRowError: If the policy is "raise" and there is a problem. The policy of a problem
                wins over that of all bad rows. Also if more rows of the file are dropped than the
                limit allows, where it is a number of rows.
        """

        def row_of(problem: Problem) -> int:
            return int(rows[problem.index])

        # The problems of CSV rows of a wrong width come last in a block, wherever the rows stand.
        for problem in sorted(problems, key=row_of):
            row = row_of(problem)
            policy = problem.policy or self.policy
            if policy == "raise":
                raise BadRowError(_message(path, row, problem))
            verdict: Verdict = "dropped"
            if problem.policy:
                verdict = "dropped by the schema's `order`"
            else:
                self._dropped[path].add(row)
            if problem.lines > 1:
                self._more_lines[path][row] = problem.lines - 1
            self._note(path, row, problem, verdict)
        if bad_row_limit.is_count(self.most):
            self.check([path])

    @_by_one_thread
    def check(self, paths: Iterable[str]) -> None:
        """Finds that not too many rows of some files were dropped, once they have been read.

        Rows that the schema's `order` drops do not count.

        Args:
            paths: The files; a share counts the rows of all of them together.

        Raises:
            BadRowError: If more rows were dropped than the limit allows.
        """
        files = dict.fromkeys(paths)
        dropped = sum(self._size(path, self._dropped[path]) for path in files)
        rows = sum(self._seen_of(path) for path in files)
        reasons = []
        for key in self._rows:
            if key[0] in files and key[-1] == "dropped":
                reasons.append(self._reason(key))
        bad_row_limit.check_dropped(self.most, dropped, rows, reasons)

    @_by_one_thread
    def note_repaired(
        self,
        path: str,
        rows: np.ndarray,
        problems: list[Problem],
    ) -> None:
        """Notes the rows of a block that were repaired and are good now.

        Args:
            path: The file, for messages.
            rows: The numbers of the block's rows in the file.
            problems: What was wrong with some of them; may be empty.
        """
        for problem in problems:
            row = int(rows[problem.index])
            self._note(path, row, problem, "repaired")

    def _note(
        self,
        path: str,
        row: int,
        problem: Problem,
        verdict: Verdict,
    ) -> None:
        key = (path, problem.column, problem.rule, verdict)
        self._first.setdefault(key, _message(path, row, problem))
        self._rows[key].add(row)  # a set: the same rows come again in each epoch

    @property
    def count(self) -> int:
        """The number of different rows dropped so far."""
        by_file: dict[str, RowNumbers] = collections.defaultdict(RowNumbers)
        for (path, _, _, verdict), rows in self._rows.items():
            if verdict != "repaired":
                by_file[path] = by_file[path] | rows
        return sum(self._size(path, rows) for path, rows in by_file.items())

    def _size(self, path: str, rows: RowNumbers) -> int:
        """How many rows some rows of a file are, where those that span lines are several."""
        more = self._more_lines[path].items()
        return len(rows) + sum(lines for row, lines in more if row in rows)

    def _seen_of(self, path: str) -> int:
        """How many rows of a file have been seen."""
        return self._seen.get(path, 0) + sum(self._more_lines[path].values())

    def take(self) -> tuple[int, list[Dropped]]:
        """Hands over what was noted since the last call, and forgets it.

        Returns:
            The number of different rows that were dropped, and the reasons.
        """
        count = self.count
        reasons = self.reasons()
        self._rows.clear()
        self._first.clear()
        return count, reasons

    def reasons(self) -> list[Dropped]:
        """What was dropped or repaired: an entry for each file, column and rule."""
        return [self._reason(key) for key in self._rows]

    def _reason(self, key: _Reason) -> Dropped:
        path, column, rule, verdict = key
        return Dropped(
            column=column,
            rule=rule,
            rows=self._size(path, self._rows[key]),
            first=self._first[key],
            verdict=verdict,
        )

    def report(self) -> list[str]:
        """The notes about the files, and then a line for each file, column and rule.

        A line tells how many rows it was, and the first of them.
        """
        return [*self.notes, *(str(dropped) for dropped in self.reasons())]


def check_parts(
    limit: str,
    dropped: int,
    rows: int,
    reasons: Iterable[Dropped],
) -> None:
    """Finds that a job whose parts were read apart did not drop too many rows.

    A row that the schema's `order` drops does not count, even if it is bad as well.

    Args:
        limit: See `bad_row_limit.check_limit`.
        dropped: The number of all rows that were dropped.
        rows: The number of all rows, dropped ones included.
        reasons: Why rows were dropped or repaired.

    Raises:
        BadRowError: If more rows were dropped than the limit allows.
    """
    bad = []
    by_order = 0
    for reason in reasons:
        if reason.verdict == "dropped":
            bad.append(reason)
        elif reason.verdict != "repaired":
            by_order += reason.rows
    bad_row_limit.check_dropped(limit, dropped - by_order, rows, bad)


def _message(path: str, row: int, problem: Problem) -> str:
    place = f"{path}: row {row}{problem.place}"
    return f"{place}: {problem.rule}. Received: {shown(problem.value)}"
