"""What a value gets that training did not see: the mean of all, where ids are taken for unseen."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import tafe_tf
from tafe_tf.training.run import Run

SCHEMA = {
    "name": "shop",
    "tasks": [{"name": "click"}, {"name": "buy"}],
    "features": [{"name": "item", "kind": "vocabulary"}],
}
ITEMS, ROWS = 200, 20_000
RATE = np.random.default_rng(0).beta(1.0, 3.0, ITEMS)  # of clicks, of each item; a mean of 1/4


def log() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    item = rng.integers(0, ITEMS, ROWS)
    click = rng.random(ROWS) < RATE[item]
    buy = click & (rng.random(ROWS) < 0.5)
    return {
        "item": np.array([f"item {i}" for i in item]),
        "click": click.astype(int),
        "buy": buy.astype(int),
    }


def trained(run_dir: pathlib.Path, share: float) -> Run:
    return tafe_tf.fit(
        SCHEMA,
        train=log(),
        model="shared_bottom",
        run_dir=run_dir,
        bottom_units=[16],
        tower_units=[8],
        embedding_dim=8,
        epochs=3,
        batch_size=200,
        learning_rate=0.01,
        unseen_share=share,
        intercept_rows=0,
        verbose=False,
    )


def test_a_new_item_is_answered_by_the_rate_of_all(tmp_path: pathlib.Path) -> None:
    rows = log()
    run = trained(tmp_path / "run", share=0.05)
    new = {"item": np.array(["item of tomorrow"])}
    found = run.predict(new)
    # 2,700 ids are taken for the new item: the rate of clicks among them has a standard error of
    # 0.008, and that of purchases one of 0.006.
    assert found["ctr"][0] == pytest.approx(rows["click"].mean(), abs=0.04)
    assert found["ctcvr"][0] == pytest.approx(rows["buy"].mean(), abs=0.03)
    known = {"item": np.array([f"item {i}" for i in range(ITEMS)])}
    assert np.corrcoef(run.predict(known)["ctr"], RATE)[0, 1] > 0.9


def test_without_them_its_row_stays_as_it_was(tmp_path: pathlib.Path) -> None:
    run = trained(tmp_path, share=0.0)
    largest = np.abs(run.model.embedding.table).max(axis=1)
    assert largest[0] < 0.2 < np.median(largest)  # as it was drawn, with a deviation of 0.05
