"""Keras metrics of the funnel against the exact ones, on TensorFlow, JAX and two replicas."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.keras_metrics import AUC, funnel_metrics
from tafe_tf.metrics import FunnelMetrics, Metrics

Names = tuple[tuple[str, ...], tuple[str, ...]]
THREE: Names = (("p_a", "p_b", "p_c"), ("p_b_given_a", "p_c_given_b"))
TWO: Names = (("ctr", "ctcvr"), ("cvr",))


def funnel(
    rows: int, rates: tuple[float, ...] = (0.3, 0.1, 0.03)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits that know something of them, and weights."""
    rng = np.random.default_rng(0)
    labels = (rng.random((rows, 1)) < np.array(rates)).astype(np.float32)
    logits = rng.normal(np.log(rates), 1.0, (rows, len(rates))) + labels
    return labels, logits.astype(np.float32), rng.uniform(0.1, 3, rows).astype(np.float32)


def binned(
    labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None, names: Names = THREE
) -> dict[str, float]:
    metrics = funnel_metrics(*names)
    for part in np.array_split(np.arange(len(labels)), 7):
        for metric in metrics:
            metric.update_state(
                labels[part], logits[part], None if weights is None else weights[part]
            )
    return {metric.name: float(metric.result()) for metric in metrics}


def exact(
    labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None, names: Names = THREE
) -> Metrics:
    metrics = FunnelMetrics(*names)
    metrics.update(logits, labels, weights)
    return metrics.result()


@pytest.mark.parametrize(
    # 30 positives of 1e-4 are ranked half a bin off by chance; the standard error of their AUC is
    # 0.05.
    ("rates", "bound"),
    [((0.3, 0.1, 0.03), 2e-5), ((3e-2, 1e-3, 1e-4), 5e-4)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_the_exact_metrics(rates: tuple[float, ...], bound: float, weighted: bool) -> None:
    labels, logits, weights = funnel(300_000, rates)
    given = binned(labels, logits, weights if weighted else None)
    expected = exact(labels, logits, weights if weighted else None)
    assert set(given) == {name for name in expected if name.startswith(("auc", "log_loss", "pcoc"))}
    for name, value in given.items():
        assert value == pytest.approx(
            expected[name], abs=bound if name.startswith("auc") else 0, rel=2e-5
        ), name


def test_the_error_of_the_auc_is_at_most_half_the_share_of_pairs_in_one_bin() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 0.02, (2000, 1)).astype(
        np.float32
    )  # four bins hold two thirds of the rows
    labels = (rng.random((2000, 1)) < 0.5).astype(np.float32)
    logits += 0.004 * labels
    metric = AUC(0)
    metric.update_state(labels, logits)
    positive, negative = (np.floor((logits[labels == y] + 20) / 0.01) for y in (1, 0))
    bound = 0.5 * (positive[:, None] == negative).mean()
    error = abs(
        float(metric.result()) - float(exact(labels, logits, names=(("a",), ()))["auc/a"] or 0)
    )
    assert 0 < error <= bound < 0.1


def test_scores_far_out_are_ranked_as_ties_and_lose_nothing() -> None:
    labels, logits = (
        np.array([[1.0], [0.0], [1.0], [0.0]]),
        np.array([[1e30], [-1e30], [-30.0], [-25.0]]),
    )
    metric = AUC(0)
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx((2 + 1) / 4)


def test_further_columns_are_not_read() -> None:
    labels, logits, weights = funnel(100)
    assert binned(np.c_[labels, labels], np.c_[logits, -logits], weights) == binned(
        labels, logits, weights
    )


def test_rows_that_do_not_know_a_step_do_not_count() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    logits[:, 1] -= 1.0
    labels = np.tile([[1, 1], [1, 0], [0, 0], [1, -1], [-1, 0], [-1, -1]], (34, 1))[:200]
    for metric in funnel_metrics(*TWO):
        step = metric.step
        knows = labels[:, step] >= 0
        if metric.given_previous:
            knows &= labels[:, step - 1] >= 0
        metric.update_state(labels, logits)
        with_unknown = float(metric.result())
        metric.reset_state()
        metric.update_state(np.maximum(labels[knows], 0), logits[knows])
        assert with_unknown == pytest.approx(float(metric.result()), rel=1e-6), metric.name


def test_undefined_is_nan_and_reset_forgets() -> None:
    metrics = funnel_metrics(*TWO)
    for metric in metrics:
        metric.update_state(np.zeros((3, 2)), np.zeros((3, 2)))
    values = {metric.name: float(metric.result()) for metric in metrics}
    expected = exact(np.zeros((3, 2)), np.zeros((3, 2)), names=TWO)
    assert {name for name, value in values.items() if np.isnan(value)} == {
        n for n in values if expected[n] is None
    }
    assert values["log_loss/ctr"] == pytest.approx(np.log(2))
    for metric in metrics:
        metric.reset_state()
        assert np.isnan(float(metric.result()))


def test_a_conditional_cut_to_one() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], np.float32)
    logits = np.array([[0.0, -1.0], [0.0, 1.0], [-2.0, -2.0], [-3.0, 3.0]], np.float32)
    expected = exact(labels, logits, names=TWO)
    for name, value in binned(labels, logits, names=TWO).items():
        assert value == pytest.approx(expected[name], rel=1e-6), name


@pytest.mark.parametrize("metric", funnel_metrics(*TWO), ids=lambda metric: metric.name)
def test_config_round_trip(metric: keras.metrics.Metric) -> None:
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"must be N names and N - 1. Received: \('a',\) and \('b',\)"
    ):
        funnel_metrics(("a",), ("b",))
    with pytest.raises(ValueError, match=r"the first step has none before it. Received: step=0"):
        AUC(0, given_previous=True)


def test_xla_compiles_them() -> None:
    labels, logits, weights = funnel(1000)
    metrics = funnel_metrics(*THREE)

    @tf.function(jit_compile=True)
    def run() -> list[tf.Tensor]:
        for metric in metrics:
            metric.update_state(labels, logits, weights)
        return [metric.result() for metric in metrics]

    values = dict(zip([metric.name for metric in metrics], run(), strict=True))
    for name, value in binned(labels, logits, weights).items():
        assert float(values[name]) == pytest.approx(value, rel=1e-5), name


FIT = """
import keras, numpy as np
{setup}
from tafe_tf.keras_metrics import funnel_metrics
from tafe_tf.metrics import FunnelMetrics
from tafe_tf.models import ESCM2
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
ids = rng.integers(0, 9, (200, 2))
labels = (rng.random((200, 1)) < [0.5, 0.2]).astype("float32")
weights = rng.uniform(0.1, 3, 200).astype("float32")
with scope():
    model = ESCM2([9, 9], 2, 4, tower_units=[4], embedding_stddev=1.0)
    metrics = funnel_metrics(("ctr", "ctcvr"), ("cvr",))
    model.compile(optimizer="adam", loss=model.paper_loss(), weighted_metrics=metrics)
model.fit(ids, labels, sample_weight=weights, batch_size=40, epochs=1, verbose=0)
settings = dict(batch_size=40, verbose=0, return_dict=True)
given = model.evaluate(ids, labels, sample_weight=weights, **settings)
exact = FunnelMetrics(("ctr", "ctcvr"), ("cvr",))
exact.update(model.predict(ids, verbose=0), labels, weights)
exact = exact.result()
for metric in metrics:
    # 200 rows of 81 logits: few pairs share a bin.
    tolerance = 5e-3 if metric.name.startswith("auc") else 1e-4
    assert abs(given[metric.name] - exact[metric.name]) < tolerance, (metric.name, given, exact)
assert len(metrics) == 9
print("equal")
"""
REPLICAS = """
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
scope = strategy.scope
"""
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
from contextlib import nullcontext as scope
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "setup"),
    [("tensorflow", REPLICAS), ("jax", WITHOUT_TENSORFLOW)],
    ids=["replicas", "jax"],
)
def test_in_fit_and_evaluate(backend: str, setup: str) -> None:
    """In a process of its own: backend and devices are chosen once."""
    env = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FIT.format(setup=setup)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("equal\n"), done.stderr[-3000:]
