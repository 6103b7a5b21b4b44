"""Stored tables against the bounds that their number formats promise."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import small_models

from tafe_tf.export.table_storage import Storage, StoredTable


@pytest.mark.parametrize(
    "storage, bound, row_bytes",
    [
        ("float32", 0.0, 16),
        ("float16", 2**-11, 8),
        ("int8", 1 / 254, 8),  # 4 numbers and a float32
    ],
)
def test_numbers_are_within_the_bound(
    exports: dict[str, pathlib.Path], storage: Storage, bound: float, row_bytes: int
) -> None:
    (layer,) = small_models.run_of(exports["shop"]).load_best().tables()
    table = layer.table.numpy()
    rows = np.array([[0, 5], [7, 5]])
    stored = StoredTable(layer.table, storage)
    largest = np.abs(table[rows]).max(axis=-1, keepdims=True)
    errors = np.abs(stored(rows).numpy() - table[rows])
    assert np.all(errors <= bound * largest * (1 + 1e-6))
    assert sum(part.numpy().nbytes for part in stored.variables) == len(table) * row_bytes


def test_a_row_of_zeros_stays_zero(exports: dict[str, pathlib.Path]) -> None:
    (layer,) = small_models.run_of(exports["shop"]).load_best().tables()
    layer.table.assign(np.zeros(layer.table.shape))
    rows = np.array([[0, 5], [7, 5]])
    np.testing.assert_array_equal(StoredTable(layer.table, "int8")(rows), np.zeros((2, 2, 4)))
