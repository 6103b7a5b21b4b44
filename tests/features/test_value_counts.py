"""Counts of values in memory and on disk, against a counter."""

from __future__ import annotations

import collections
import pathlib

import numpy as np
import pytest

from tafe_tf.features.value_counts import ValueCounts


def values(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    frequent = [f"v{i}" for i in rng.zipf(1.3, size=400) % 60]
    return [*frequent, "ä", "a\tb", '"', "\\", " x ", "\u2028"]


def in_memory(batches: list[list[str]], min_count: int) -> list[str]:
    """Most frequent first, equals in code point order."""
    counts = collections.Counter(value for batch in batches for value in batch)
    kept = [(-count, value) for value, count in counts.items() if count >= min_count]
    return [value for _, value in sorted(kept)]


@pytest.mark.parametrize("min_count", [1, 2, 10, 10_000])
@pytest.mark.parametrize("max_distinct", [3, 20, 10**6])
def test_the_order_is_a_counters_on_disk_and_in_memory(
    tmp_path: pathlib.Path, max_distinct: int, min_count: int
) -> None:
    batches = [values(seed) for seed in range(4)]
    counts = ValueCounts(tmp_path, max_distinct)
    for batch in batches:
        for start in range(0, len(batch), 50):
            counts.add(batch[start : start + 50])
    assert (len(list(tmp_path.iterdir())) > 3) == (max_distinct < 100)
    want = in_memory(batches, min_count)
    kept = counts.keep(min_count)
    assert kept.values == want
    assert kept.distinct == len(set().union(*batches))
    assert bool(want) == (min_count < 10_000)


def test_values_with_line_breaks_survive_the_disk(tmp_path: pathlib.Path) -> None:
    counts = ValueCounts(tmp_path, max_distinct=1)
    for batch in (["a\nb", "c", "c"], ["a\nb", "\r", "d"]):
        counts.add(batch)
    assert counts.keep(1).values == ["a\nb", "c", "\r", "d"]
