"""How often each value of a feature occurs, and which values are frequent enough for a row."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import json
import operator
import pathlib
from collections.abc import Collection, Iterable, Iterator, Sequence

MAX_DISTINCT = 20_000_000  # values held in memory before counts go to disk; about 2 GB

ValueCount = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is left of a feature's values.

    Attributes:
        distinct: The number of different values, rare ones included.
        counts: The values that are frequent enough, each once, and their counts.
        rare: How often other values occur, together, in each column that the values stand in.
        first: Values that keep their places before all others, whatever their counts. Default:
            none.
    """

    distinct: int
    counts: list[ValueCount]
    rare: Sequence[int]
    first: Sequence[str] = ()

    @property
    def values(self) -> list[str]:
        """`first`, then the other values: the most frequent first, ties in code point order."""
        placed = set(self.first)
        others = [(-count, value) for value, count in self.counts if value not in placed]
        others.sort()
        return [*self.first, *(value for _, value in others)]


def keep(
    counts: Iterable[ValueCount],
    min_count: int,
    known: Collection[str] = (),
) -> Kept:
    """Keeps the frequent and the known of different values.

    Args:
        counts: Each value once, with the number of its occurrences.
        min_count: How often a value must occur to be kept.
        known: Values that are kept however rarely they occur. Default: none.
    """
    distinct = 0
    rare = 0
    kept = []
    for value, count in counts:
        distinct += 1
        if count >= min_count or value in known:
            kept.append((value, count))
        else:
            rare += count
    return Kept(distinct, kept, [rare])


def keep_of_columns(
    columns: Sequence[Iterable[ValueCount]],
    min_count: int,
    known: Collection[str] = (),
) -> Kept:
    """Keeps the frequent and the known of the values of several columns, taken together.

    Args:
        columns: The counts of each column's values; each value once, in code point order.
        min_count: How often a value must occur in all columns together to be kept.
        known: Values that are kept however rarely they occur. Default: none.

    Example:
        >>> kept = keep_of_columns([[("a", 1), ("b", 1)], [("a", 1), ("c", 3)]], min_count=2)
        >>> kept.values, kept.rare
        (['c', 'a'], [1, 0])
    """
    if len(columns) == 1:
        return keep(columns[0], min_count, known)
    named = [_with_place(counts, place) for place, counts in enumerate(columns)]
    merged = heapq.merge(*named)
    distinct = 0
    rare = [0] * len(columns)
    kept = []
    for value, items in itertools.groupby(merged, key=operator.itemgetter(0)):
        distinct += 1
        of_columns = [(place, count) for _, place, count in items]
        total = sum(count for _, count in of_columns)
        if total >= min_count or value in known:
            kept.append((value, total))
            continue
        for place, count in of_columns:
            rare[place] += count
    return Kept(distinct, kept, rare)


def _with_place(counts: Iterable[ValueCount], place: int) -> Iterator[tuple[str, int, int]]:
    """Each value with its column's place and its count there."""
    for value, count in counts:
        yield value, place, count


class ValueCounts:
    """Counts any number of different values; those that do not fit in memory go to disk.

    Args:
        directory: Where sorted runs of counts are written once there are too many values.
        max_distinct: The number of different values that fit in memory. Default: 20,000,000.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        max_distinct: int = MAX_DISTINCT,
    ) -> None:
        self._directory = pathlib.Path(directory)
        self._max_distinct = max_distinct
        self._counts: collections.Counter[str] = collections.Counter()
        self._runs: list[pathlib.Path] = []

    def add(self, values: Iterable[str]) -> None:
        """Counts each value once more."""
        self._counts.update(values)
        if len(self._counts) > self._max_distinct:
            path = self._directory / f"run{id(self)}-{len(self._runs)}"
            _write_run(path, self._counts)
            self._runs.append(path)
            self._counts.clear()

    def sorted(self) -> Iterator[ValueCount]:
        """Each value once with the number of its occurrences, in code point order."""
        runs = [_read_run(path) for path in self._runs]
        in_memory = sorted(self._counts.items())
        merged = heapq.merge(
            *runs,
            in_memory,
            key=operator.itemgetter(0),
        )
        return _summed(merged)

    def keep(self, min_count: int, known: Collection[str] = ()) -> Kept:
        """The values with at least `min_count` occurrences, and those `known` that occur at all."""
        return keep(self.sorted(), min_count, known)


def _summed(merged: Iterable[ValueCount]) -> Iterator[ValueCount]:
    """Each value once, with the sum of its counts; equal values must stand side by side."""
    by_value = itertools.groupby(merged, key=operator.itemgetter(0))
    for value, items in by_value:
        yield value, sum(count for _, count in items)


def _write_run(path: pathlib.Path, counts: collections.Counter[str]) -> None:
    """Writes sorted counts, one a line; as JSON, since a value may hold a line break."""
    with open(path, "w", encoding="utf-8") as file:
        for item in sorted(counts.items()):
            file.write(json.dumps(item) + "\n")


def _read_run(path: pathlib.Path) -> Iterator[ValueCount]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            value, count = json.loads(line)
            yield value, count
