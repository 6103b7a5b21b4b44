"""Funnels of a history: their probabilities, what order is worth, and their columns."""

from __future__ import annotations

import itertools
import math
import tomllib

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tafe_tf import schema_toml
from tafe_tf.data.public.history import HistoryFunnel


class Small(HistoryFunnel):
    """Histories of up to five items, of which the last two count."""

    recent = 2

    def __init__(self) -> None:
        super().__init__(fields=2, values=3, items=6, kinds=3, length=5)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def rows_of(funnel: HistoryFunnel, count: int) -> np.ndarray:
    return funnel._ids(np.random.default_rng(0), count)


def test_probabilities_are_the_closed_form() -> None:
    funnel = Small()
    rows = rows_of(funnel, 200)
    computed = funnel.probabilities(rows)
    for (a, b, item, *history), answer in zip(rows.tolist(), computed, strict=True):
        expected = 1.0
        for step in range(2):
            logit = funnel._intercepts[step] + funnel._of_item[step][item]
            logit += funnel._effects[step][0][a] + funnel._effects[step][1][b]
            if any(other >= 0 and other % 3 == item % 3 for other in history[:2]):
                logit += 2.5
            expected *= sigmoid(logit)
            assert answer[step] == pytest.approx(expected, rel=1e-12)


def test_what_is_known_without_the_order_is_the_mean_over_all_orders() -> None:
    funnel = Small()
    rows = rows_of(funnel, 60)
    known = funnel.bag_probabilities(rows)
    for row, answer in zip(rows, known, strict=True):
        items = row[3:][row[3:] >= 0]
        orders = []
        for order in itertools.permutations(items):
            other = row.copy()
            other[3 : 3 + len(items)] = order
            orders.append(other)
        mean = funnel.probabilities(np.array(orders)).mean(axis=0)
        np.testing.assert_allclose(answer, mean, rtol=1e-12)


def test_the_rates_are_met_and_order_is_worth_something() -> None:
    funnel = HistoryFunnel()
    rows = rows_of(funnel, 50_000)
    truth, known = funnel.probabilities(rows), funnel.bag_probabilities(rows)
    labels = truth > np.random.default_rng(1).random((len(rows), 1))
    assert truth.mean(axis=0) == pytest.approx([0.2, 0.05], rel=0.03)
    assert known.mean(axis=0) == pytest.approx(truth.mean(axis=0), rel=0.01)
    for step in range(2):
        of_truth = roc_auc_score(labels[:, step], truth[:, step])
        of_bag = roc_auc_score(labels[:, step], known[:, step])
        assert of_truth - of_bag > 0.02


def test_columns_hold_the_newest_last() -> None:
    funnel = Small()
    columns = funnel.chunk(stream=0, number=0, rows=50)
    rows = funnel.rows(stream=0, number=0, rows=50)
    for row, history, ago in zip(rows, columns["history"], columns["history_ago"], strict=True):
        items = [item % 3 for item in row[3:] if item >= 0]
        assert history == items[::-1]
        assert ago == list(range(len(items), 0, -1))
    assert (columns["kind"] == columns["item"] % 3).all()
    schema = funnel.schema()
    assert schema.fields == ("field_0", "field_1", "item", "kind", "recent")
    assert schema_toml.parse(tomllib.loads(schema_toml.dump(schema))) == schema
    with pytest.raises(ValueError, match=r"kinds must be at most as many as items\. .*kinds=3"):
        HistoryFunnel(items=2, kinds=3)
