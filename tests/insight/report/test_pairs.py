"""Differences of two models on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from tafe_tf.insight.report.pairs import are_same_rows, differences
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    features=(Feature(name="item", kind="integer", size=9),),
    tasks=(Task(name="click"), Task(name="buy")),
)


def two_models(count: int, noise: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model that knows the probabilities, and one that knows them up to noise."""
    rng = np.random.default_rng(1)
    logits = np.sort(rng.normal(-0.5, 1.0, (count, 2)), axis=1)[:, ::-1]
    p = 1 / (1 + np.exp(-logits))
    depth = (rng.random(count)[:, None] < p).sum(axis=1)
    rows = {
        "logits": logits.astype(np.float32),
        "depth": depth.astype(np.uint8),
        "unknown": np.zeros(count, np.uint8),
        "weight": np.ones(count, np.float32),
    }
    shaken = logits + rng.normal(0.0, noise, (count, 1))
    return rows, {**rows, "logits": shaken.astype(np.float32)}


def test_differences_are_those_of_the_metrics() -> None:
    true, shaken = two_models(4000, 1.0)
    found = {one.name: one for one in differences(true, shaken, SCHEMA)}
    assert list(found) == ["ctr", "ctcvr", "cvr"]
    clicked = true["depth"] > 0
    before, after = (1 / (1 + np.exp(-rows["logits"][:, 0])) for rows in (true, shaken))
    of_auc = roc_auc_score(clicked, after) - roc_auc_score(clicked, before)
    of_loss = log_loss(clicked, after) - log_loss(clicked, before)
    assert found["ctr"].auc == pytest.approx(of_auc, abs=1e-7)
    assert found["ctr"].log_loss == pytest.approx(of_loss, rel=1e-5)
    for one in found.values():
        assert one.auc_interval is not None and one.auc_interval[1] < 0
        assert one.log_loss_interval is not None and one.log_loss_interval[0] > 0


def test_the_interval_is_that_of_paired_rows() -> None:
    true, shaken = two_models(4000, 0.3)
    (one, *_) = differences(true, shaken, SCHEMA, replicates=400)
    clicked = true["depth"] > 0
    losses = [
        np.log1p(np.exp(np.where(clicked, -1, 1) * rows["logits"][:, 0])) for rows in (true, shaken)
    ]
    deviation = (losses[1] - losses[0]).std() / np.sqrt(4000)
    assert one.log_loss_interval is not None
    width = one.log_loss_interval[1] - one.log_loss_interval[0]
    assert width == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_a_model_does_not_differ_from_itself() -> None:
    rows, _ = two_models(300, 0.0)
    for one in differences(rows, rows, SCHEMA, replicates=50):
        assert (one.auc, one.auc_interval) == (0.0, (0.0, 0.0))
        assert (one.log_loss, one.log_loss_interval) == (0.0, (0.0, 0.0))


def test_which_rows_are_the_same() -> None:
    rows, other = two_models(300, 1.0)
    assert are_same_rows(rows, other)
    assert not are_same_rows(rows, {**other, "depth": other["depth"][::-1]})
    assert not are_same_rows(rows, {name: values[:-1] for name, values in other.items()})
