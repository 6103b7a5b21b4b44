"""Which values the gate's rows reach."""

from __future__ import annotations

import pathlib

import numpy as np
import small_models

from tafe_tf.export.probe_rows import probe_rows


def test_known_unseen_missing_and_extreme_values(exports: dict[str, pathlib.Path]) -> None:
    path = exports["shop"]
    schema = small_models.run_of(path).schema()
    rows = probe_rows(schema, path / "assets", 1000)
    assert set(rows) == {column.name for column in schema.inputs}
    known = (path / "assets" / "user.txt").read_text().split("\n")
    users = set(rows["user"])
    assert users & set(known) and "x" * 10_000 in users and rows["user"][-1] == ""
    assert {-1, 2**63 - 1, -(2**63)} <= set(rows["item"].tolist()) and rows["item"][-1] == -1
    assert np.isposinf(rows["price"]).any() and np.isnan(rows["price"][-1])
    assert rows["tags"].shape == rows["tag_weights"].shape == (1000, 4)  # one more than the model's
    assert np.isfinite(rows["tag_weights"]).mean() > 0.8 and np.isnan(rows["tag_weights"]).any()


def test_the_same_seed_draws_the_same_rows(exports: dict[str, pathlib.Path]) -> None:
    path = exports["loans"]
    schema = small_models.run_of(path).schema()
    first, again, other = (probe_rows(schema, path / "assets", 50, seed=seed) for seed in (1, 1, 2))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert any(np.any(values != other[name]) for name, values in first.items())
