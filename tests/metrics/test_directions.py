"""Which values of a metric are better."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tafe_tf.keras_metrics import funnel_metrics
from tafe_tf.metrics import DIRECTIONS, FunnelMetrics, direction, goodness, monitored


def test_every_metric_has_a_direction() -> None:
    names = ("amount_given_buy", "expected_amount")
    metrics = FunnelMetrics(["ctr", "ctcvr"], ["cvr"], amount_names=names)
    logits, labels = np.array([[1.0, 0.0], [0.0, -1.0]]), np.array([[1, 1], [0, 0]])
    metrics.update(
        logits,
        labels,
        group=np.array(["a", "b"]),
        truth=labels / 2,
        amount=np.array([3.0, 0.0]),
        amount_given=np.array([2.0, 1.0]),
    )
    kinds = {name.split("/")[0] for name in metrics.result()} - {"rows", "rows_without_group"}
    assert {kind for kind in kinds if not kind.startswith("decile_")} == set(DIRECTIONS)


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_goodness_is_largest_where_the_metric_is_best(kind: str) -> None:
    values = np.linspace(0.05, 2.0, 40)
    best = {"larger": 2.0, "smaller": 0.05, "nearest to 1": 1.0}[DIRECTIONS[kind]]
    found = max(values, key=lambda value: goodness(float(value), f"{kind}/ctr"))
    assert found == pytest.approx(best)


def test_goodness() -> None:
    assert goodness(0.8, "auc") > goodness(0.7, "auc")
    assert goodness(0.2, "log_loss/ctr") > goodness(0.3, "log_loss/ctr")
    for ratio in ("pcoc/ctr", "truth_ratio/cvr"):
        assert goodness(0.99, ratio) > goodness(1.02, ratio) > goodness(0.5, ratio)
        assert goodness(0.0, ratio) == -np.inf
    assert goodness(np.nan, "log_loss") == -np.inf
    assert goodness(3.0, "seconds") < goodness(2.0, "seconds")


def test_monitored() -> None:
    metrics = {
        "auc/ctr": 0.7,
        "auc/ctcvr": 0.9,
        "log_loss/ctr": 0.2,
        "log_loss/ctcvr": None,
        "gauc/ctr": None,
    }
    names = ("ctr", "ctcvr")
    assert monitored(metrics, "auc", names) == pytest.approx(0.8)
    assert monitored(metrics, "log_loss", names) == 0.2
    assert np.isnan(monitored(metrics, "gauc/ctr", names))
    message = r"monitor must be 'auc', 'log_loss' or one of \[.*Received: 'acc'"
    with pytest.raises(ValueError, match=message):
        monitored(metrics, "acc", names)


@pytest.mark.parametrize("metric", funnel_metrics(["ctr"], []), ids=lambda metric: metric.name)
def test_keras_callbacks_are_told_the_same(metric: keras.metrics.Metric) -> None:
    better = {"up": "larger", "down": "smaller", None: "nearest to 1"}
    assert better[getattr(metric, "_direction", None)] == direction(metric.name)
