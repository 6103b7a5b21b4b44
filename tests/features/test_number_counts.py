"""Quantiles and moments of streamed numbers, against NumPy on all of them at once."""

import json
import math

import numpy as np
import pytest

from tafe_tf.features.number_counts import MOST_CELLS, NumberCounts


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """Numbers with ties, of both signs, of all magnitudes."""
    parts = [
        rng.normal(size=count),
        rng.lognormal(sigma=9, size=count),
        -rng.lognormal(sigma=30, size=count // 9),
        rng.integers(-3, 9, count),
        np.zeros(count // 2),
    ]
    numbers = rng.permutation(np.concatenate(parts))
    small: np.ndarray = numbers[np.abs(numbers) < 1e38].astype(np.float32)
    return small


def counted(numbers: np.ndarray, parts: int, most: int = MOST_CELLS) -> NumberCounts:
    counts = NumberCounts(most)
    for part in np.array_split(numbers, parts):
        counts.add(part)
    return counts


def quantiles(numbers: np.ndarray, buckets: int) -> np.ndarray:
    """The edges by NumPy: each once, without the largest number."""
    shares = np.arange(1, buckets) / buckets
    edges: np.ndarray = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
    below: np.ndarray = edges[edges < numbers.max()]
    return below


@pytest.mark.parametrize("seed", range(8))
def test_edges_are_numpys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = drawn(rng, int(rng.integers(1, 3000)))
    for buckets in (2, 8, 64, 1024):  # shares that a float holds exactly
        edges = counted(numbers, parts=7).edges(buckets)
        np.testing.assert_array_equal(edges, quantiles(numbers, buckets))


def test_every_bucket_holds_about_its_share() -> None:
    numbers = np.random.default_rng(0).normal(size=64_000).astype(np.float32)
    edges = counted(numbers, parts=3).edges(64)
    held = np.bincount(np.searchsorted(edges, numbers, side="left"))
    np.testing.assert_array_equal(held, [1000] * 64)


def test_beyond_the_cells_edges_are_as_near_as_is_stated() -> None:
    rng = np.random.default_rng(1)
    numbers = drawn(rng, 400_000)
    assert len(np.unique(numbers)) > 5 * MOST_CELLS
    counts = counted(numbers, parts=9)
    assert len(counts.keys) <= MOST_CELLS and 0 < counts.dropped <= 16
    exact = np.quantile(numbers, np.arange(1, 64) / 64, method="inverted_cdf")
    edges = counts.edges(64)
    error = 2.0 ** (counts.dropped - 23)
    for value in np.unique(exact):
        off = np.abs(edges.astype(np.float64) - value).min()
        assert off <= error * abs(value)
    is_inside = np.isin(edges, counts.numbers)
    assert is_inside.all() and np.all(np.diff(edges) > 0)


@pytest.mark.parametrize("most", [MOST_CELLS, 4096])
def test_neither_order_nor_parts_matter(most: int) -> None:
    rng = np.random.default_rng(2)
    numbers = drawn(rng, 30_000)
    whole = counted(numbers, 1, most)
    assert (whole.dropped > 0) == (most < MOST_CELLS)
    for parts in (2, 17):
        other = counted(rng.permutation(numbers), parts, most)
        assert other.as_json() == whole.as_json()
        joined = NumberCounts(most)
        for part in np.array_split(numbers[::-1], parts):
            as_json = json.loads(json.dumps(counted(part, 3, most).as_json()))
            joined.add_json(as_json)
        assert joined.as_json() == whole.as_json()
        assert joined.spread() == whole.spread()
    assert whole.counts.sum() == len(numbers)


def test_what_is_no_number_does_not_count() -> None:
    nothing = counted(np.array([math.nan, math.inf, -math.inf], np.float32), 1)
    assert nothing.as_json() == {"dropped": 0, "keys": [], "counts": []}
    assert nothing.edges(9).tolist() == []
    spread = nothing.spread()
    assert (spread.unit, spread.mean, spread.deviation) == (1.0, 0.0, 1.0)


def test_zeros_of_both_signs_and_numbers_too_small_are_one() -> None:
    numbers = np.array([0.0, -0.0, 1e-39, -1e-45, 1.0], np.float32)
    counts = counted(numbers, 1)
    assert counts.numbers.tolist() == [0.0, 1.0] and counts.counts.tolist() == [4, 1]


def test_a_constant_has_one_bucket_and_no_deviation() -> None:
    counts = counted(np.full(9, 7.0, np.float32), 2)
    assert counts.edges(64).tolist() == []
    spread = counts.spread()
    assert spread.unit == 7.0 and spread.mean == pytest.approx(math.log(2.0))
    assert spread.deviation == 1.0


def test_the_spread_is_numpys_and_takes_no_notice_of_the_unit() -> None:
    rng = np.random.default_rng(3)
    numbers = drawn(rng, 900)
    unit = np.quantile(np.abs(numbers[numbers != 0]), 0.5, method="inverted_cdf")
    logs = np.sign(numbers) * np.log1p(np.abs(numbers.astype(np.float64)) / unit)
    spread = counted(numbers, 5).spread()
    assert spread.unit == unit
    assert spread.mean == pytest.approx(logs.mean(), rel=1e-12)
    assert spread.deviation == pytest.approx(logs.std(), rel=1e-12)
    halves = counted(numbers / np.float32(1024), 5).spread()
    assert halves.unit * 1024 == unit
    assert (halves.mean, halves.deviation) == (spread.mean, spread.deviation)
