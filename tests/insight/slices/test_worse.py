"""In which slices a model is worse: what is planted is found, and chance alone is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tafe_tf.insight.slices.values import Slicing
from tafe_tf.insight.slices.worse import LEVEL, worse_slices
from tafe_tf.metrics import hashes
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    features=(Feature(name="item", kind="integer", size=9),),
    tasks=(Task(name="click"), Task(name="buy")),
)
ROWS = 4000
PLACE = np.arange(ROWS) % 10
COUNTRIES = Slicing(column="country", names=tuple("abcdefghij"), place=PLACE)


def rows(logits: np.ndarray, depth: np.ndarray, group: Any = None) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {
        "logits": logits.astype(np.float32),
        "depth": depth.astype(np.uint8),
        "unknown": np.zeros(len(depth), np.uint8),
        "weight": np.ones(len(depth), np.float32),
    }
    return found if group is None else {**found, "group": group}


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the truth, and how far each row comes."""
    logits = np.stack([np.full(ROWS, -1.0), np.full(ROWS, -2.5)], axis=1)
    p = 1 / (1 + np.exp(-logits))
    return logits, (rng.random(ROWS)[:, None] < p).sum(axis=1)


def test_a_planted_slice_is_found_and_no_other() -> None:
    logits, depth = draw(np.random.default_rng(0))
    worse = logits.copy()
    worse[PLACE == 3] += 1.5
    found = worse_slices(rows(logits, depth), rows(worse, depth), [COUNTRIES], SCHEMA, 0.01)
    assert {one.value for one in found} == {"d"}
    first = found[0]
    inside = PLACE == 3
    column = ("ctr", "ctcvr").index(first.step)
    y = depth[inside] > column
    for value, of_model in ((first.before, logits), (first.new, worse)):
        p = 1 / (1 + np.exp(-of_model[inside][:, column]))
        assert value == pytest.approx(-np.mean(np.where(y, np.log(p), np.log(1 - p))), rel=1e-5)
    assert first.rows == inside.sum()
    assert worse_slices(rows(worse, depth), rows(logits, depth), [COUNTRIES], SCHEMA, 0.0) == []


def test_a_rise_within_the_margin_passes() -> None:
    logits, depth = draw(np.random.default_rng(1))
    worse = logits.copy()
    worse[PLACE == 3] += 1.0
    one, other = rows(logits, depth), rows(worse, depth)
    (largest, *_) = worse_slices(one, other, [COUNTRIES], SCHEMA, 0.0)
    assert worse_slices(one, other, [COUNTRIES], SCHEMA, largest.rise + 0.01) == []


def test_two_models_that_are_equally_good_pass_as_often_as_the_level_says() -> None:
    refused = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        logits, depth = draw(rng)
        noise = rng.normal(0, 0.3, (2, *logits.shape))
        one, other = rows(logits + noise[0], depth), rows(logits + noise[1], depth)
        refused += bool(worse_slices(one, other, [COUNTRIES], SCHEMA, 0.0))
    assert refused <= 200 * LEVEL + 3 * np.sqrt(200 * LEVEL * (1 - LEVEL))


def test_rows_of_one_group_count_as_one() -> None:
    """Forty copies of the rows tell no more than the rows."""
    rng = np.random.default_rng(5)
    logits, depth = draw(rng)
    worse = logits.copy()
    worse[PLACE == 3] += 0.25
    group = hashes(np.arange(ROWS), (ROWS,))
    one, other = rows(logits, depth, group), rows(worse, depth, group)
    once = worse_slices(one, other, [COUNTRIES], SCHEMA, 0.0)
    copies = [
        {key: np.repeat(values, 40, axis=0) for key, values in each.items()}
        for each in (one, other)
    ]
    many = Slicing(column="country", names=COUNTRIES.names, place=np.repeat(PLACE, 40))
    found = worse_slices(copies[0], copies[1], [many], SCHEMA, 0.0)
    assert [worse[:3] for worse in found] == [worse[:3] for worse in once]
    without = [{key: values for key, values in each.items() if key != "group"} for each in copies]
    assert len(worse_slices(without[0], without[1], [many], SCHEMA, 0.0)) > len(once)
