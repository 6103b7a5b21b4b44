"""What training notes of its columns: against NumPy, and the same for any order and division."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest

from tafe_tf.features import profile
from tafe_tf.features.profile import CELLS, Profile, ValueShares, cell_of
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    tasks=(Task(name="click"), Task(name="buy")),
    features=(
        Feature(name="user", kind="vocabulary"),
        Feature(name="item", kind="hash", dtype="int64", buckets=10),
        Feature(name="price", kind="quantile"),
        Feature(name="tags", kind="vocabulary", max_length=3, weights="tag_weights"),
        Feature(name="image", kind="vector", length=2),
    ),
)


def columns(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows as readers deliver them, with missing values of each kind."""
    chance = np.random.default_rng(seed)
    users = np.array([f"u{i}" for i in chance.integers(0, 9, rows)], object)
    users[::7] = ""
    items = chance.integers(0, 5000, rows)
    items[::5] = -1
    prices = chance.lognormal(size=rows).astype(np.float32)
    prices[::11] = np.nan
    tags = np.array([["a", "", ""], ["", "", ""], ["a", "b", "c"]], object)
    weights = np.array([[0.5, 0, 0], [0, 0, 0], [1, 2, 0.5]], np.float32)
    which = chance.integers(0, 3, rows)
    vectors = chance.normal(size=(rows, 2)).astype(np.float32)
    vectors[::13] = np.nan
    return {
        "user": users,
        "item": items,
        "price": prices,
        "tags": tags[which],
        "tag_weights": weights[which],
        "image": vectors,
    }


def test_what_is_noted_is_numpys() -> None:
    rows = columns(2000)
    counts = Profile(SCHEMA)
    counts.add(rows)
    noted = json.loads(json.dumps(counts.described()))
    users = collections.Counter(user for user in rows["user"] if user)
    assert dict(noted["user"]["top"]) == users
    assert noted["user"]["rest"] == {"values": 0, "count": 0}
    assert noted["user"]["missing"] == (rows["user"] == "").sum()
    items = collections.Counter(rows["item"][rows["item"] >= 0].tolist())
    largest = {str(item): count for item, count in items.items()}
    assert len(noted["item"]["top"]) == profile.TOP
    assert all(largest[item] == count for item, count in noted["item"]["top"])
    rest = sorted(items.values(), reverse=True)[profile.TOP :]
    assert noted["item"]["rest"] == {"values": len(rest), "count": sum(rest)}
    prices = rows["price"][np.isfinite(rows["price"])]
    shares = np.arange(1, profile.BUCKETS) / profile.BUCKETS
    edges = np.quantile(prices, shares, method="inverted_cdf")
    np.testing.assert_array_equal(noted["price"]["edges"], edges.astype(np.float64))
    expected, _ = np.histogram(prices, [-np.inf, *np.nextafter(edges, np.float32(9e9)), np.inf])
    assert noted["price"]["counts"] == expected.tolist()
    assert (noted["price"]["low"], noted["price"]["high"]) == (prices.min(), prices.max())
    lengths = np.bincount((rows["tags"] != "").sum(axis=1), minlength=4)
    assert noted["tags"]["lengths"] == lengths.tolist()
    assert noted["tags"]["missing"] == lengths[0]
    assert noted["tag_weights"]["values"] == (rows["tag_weights"] != 0).sum()
    known = rows["image"][np.isfinite(rows["image"]).all(axis=1)]
    assert sum(noted["image"]["counts"]) == len(known)
    norms = np.linalg.norm(known.astype(np.float64), axis=1)
    assert noted["image"]["high"] == pytest.approx(norms.max(), rel=1e-6)


@pytest.mark.parametrize("most", [profile.MOST_VALUES, 50])
def test_neither_order_nor_parts_matter(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few values of their own, the items share cells, which some parts need and some not."""
    monkeypatch.setattr(ValueShares.__init__, "__defaults__", (most,))
    rows = columns(1000)
    whole = Profile(SCHEMA)
    whole.add(rows)
    order = np.random.default_rng(1).permutation(1000)
    joined = Profile(SCHEMA)
    for part in np.split(order, [3, 30, 700]):
        counts = Profile(SCHEMA)
        counts.add({name: values[part] for name, values in rows.items()})
        joined.add_json(json.loads(json.dumps(counts.as_json())))
    assert joined.described() == whole.described()
    assert ("cells" in whole.described()["item"]) == (most == 50)


def test_cells_hold_each_value_once() -> None:
    counts = ValueShares(most=2)
    values = np.array(["a", "b", "c", "c", "d"], object)
    counts.add(values)
    cells = np.zeros(CELLS, np.int64)
    for value in values:
        cells[cell_of(value)] += 1
    assert counts.described() == {"cells": cells.tolist()}


def test_bytes_and_texts_are_the_same_values() -> None:
    texts, encoded = ValueShares(), ValueShares()
    texts.add(np.array(["Köln", "x"], object))
    encoded.add(np.array(["Köln".encode(), b"x"], object))
    assert texts.described() == encoded.described()
