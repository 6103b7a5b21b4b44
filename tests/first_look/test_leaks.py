"""Leaks are found, and ids, whatever their number, are no leaks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from tafe_tf.data.hashing import finalize
from tafe_tf.first_look.leaks import Leak, alone, find_leak
from tafe_tf.first_look.values import values_of

ROWS = 20_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def leak_of(array: object, labels: np.ndarray) -> Leak | None:
    values = values_of("x", pa.chunked_array([pa.array(array)]), [])
    return find_leak(values, "buy", labels, np.ones(len(labels), bool))


def test_the_area_is_that_of_rates_learned_on_the_other_half(random: np.random.Generator) -> None:
    bins = random.integers(0, 40, ROWS)
    labels = (random.random(ROWS) < (bins / 80) ** 2).astype(int)
    half = (finalize(np.arange(1, ROWS + 1, dtype=np.uint64)) & np.uint64(1)).astype(bool)
    assert 0.45 < half.mean() < 0.55
    areas = []
    for learned in (half, ~half):
        rates = []
        for bin_ in range(40):
            rows = labels[learned & (bins == bin_)]
            rates.append((rows.sum() + 5 * labels[learned].mean()) / (len(rows) + 5))
        areas.append(roc_auc_score(labels[~learned], np.array(rates)[bins[~learned]]))
    assert alone(bins, labels) == pytest.approx(np.mean(areas), abs=1e-12)


def test_ids_are_no_leaks(random: np.random.Generator) -> None:
    labels = (random.random(ROWS) < 0.1).astype(int)
    assert leak_of([f"row {i}" for i in range(ROWS)], labels) is None
    assert leak_of(random.integers(0, ROWS // 2, ROWS), labels) is None
    assert leak_of([f"u{i}" for i in random.integers(0, 500, ROWS)], labels) is None
    assert leak_of(random.normal(size=ROWS), labels) is None


def test_what_is_known_afterwards_is_a_leak(random: np.random.Generator) -> None:
    labels = (random.random(ROWS) < 0.02).astype(int)
    amount = np.where(labels == 1, random.lognormal(3, 1, ROWS), 0.0)
    found = leak_of(amount, labels)
    assert found is not None and found.auc is not None and found.auc > 0.99
    rating = [int(i % 5) if label and i % 2 else None for i, label in enumerate(labels)]
    found = leak_of(rating, labels)
    assert found is not None and "only where 'buy' is 1" in found.reason
    refunded = ["yes" if label and i % 4 == 0 else "no" for i, label in enumerate(labels)]
    found = leak_of(refunded, labels)
    assert found is not None and "stand only where" in found.reason


def test_a_later_step_is_a_leak_of_a_frequent_one(random: np.random.Generator) -> None:
    labels = (random.random(ROWS) < 0.6).astype(int)
    later = (labels == 1) & (random.random(ROWS) < 0.3)
    found = leak_of(later.astype(int), labels)
    assert found is not None and "stand only where" in found.reason
    mostly = later | (np.arange(ROWS) == int(np.argmin(labels)))  # once without the label
    assert leak_of(mostly.astype(int), labels) is None
    few = (labels == 1) & (random.random(ROWS) < 0.02)
    assert leak_of(few.astype(int), labels) is None
    of_three = np.where(later, 2, random.integers(0, 2, ROWS))
    assert leak_of(of_three, labels) is None


def test_too_few_rows_tell_nothing() -> None:
    labels = np.array([1] * 10 + [0] * 200)
    assert alone(labels, labels) is None
    assert leak_of(labels, labels) is None
