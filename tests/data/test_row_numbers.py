"""Sets of row numbers against Python's own."""

from __future__ import annotations

import numpy as np
import pytest

from tafe_tf.data.row_numbers import RowNumbers


def both(rows: list[int]) -> tuple[RowNumbers, set[int]]:
    found = RowNumbers()
    for row in rows:
        found.add(row)
    return found, set(rows)


@pytest.mark.parametrize("seed", range(5))
def test_a_set_of_rows_is_a_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 3000))
    one, expected_one = both(rng.integers(0, size, 400).tolist())
    other, expected_other = both(rng.integers(0, 2 * size, 50).tolist())
    assert list(one) == sorted(expected_one)
    assert len(one) == len(expected_one)
    union = one | other
    assert list(union) == sorted(expected_one | expected_other)
    assert list(one) == sorted(expected_one)  # which a union leaves alone
    assert list(RowNumbers() | other) == sorted(expected_other)
    assert len(RowNumbers()) == 0


def test_a_row_far_off_takes_a_bit_for_each_row_before_it() -> None:
    rows, _ = both([100_000_000, 1])
    assert len(rows) == 2
    assert len(rows._bits) == pytest.approx(100_000_000 / 8, rel=0.01)
