"""Predictions and metrics of a model on a dataset, batch by batch."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch, Part, Stream
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.graph import Features
from tafe_tf.metrics import FunnelMetrics, Metrics, hashes, log_sigmoid
from tafe_tf.schema import Schema

Use = Callable[[np.ndarray, Batch], bool]  # of logits [B, N] and their batch; whether to go on


class Predictions:
    """What later statistics need of every row, collected in the order of the batches.

    Args:
        tasks: N.
        group: the schema's group column, if there is one.
    """

    def __init__(self, tasks: int, group: str = "") -> None:
        self._group = group
        none: dict[str, np.ndarray] = {
            "logits": np.zeros((0, tasks), np.float32),
            "depth": np.zeros(0, np.uint8),
        }
        none["weight"] = np.zeros(0, np.float32)
        if group:
            none["group"] = np.zeros(0, np.uint64)
        self._parts = [none]
        self.rows = 0

    def add(self, logits: np.ndarray, batch: Batch) -> bool:
        """Adds a batch; always true."""
        depth = batch.labels.sum(axis=1).astype(np.uint8)
        part = {"logits": logits.astype(np.float32), "depth": depth, "weight": batch.weight}
        if self._group:
            part["group"] = hashes(batch.extra[self._group], depth.shape)
        self._parts.append(part)
        self.rows += len(depth)
        return True

    def arrays(self) -> dict[str, np.ndarray]:
        """All rows: "logits" float32 [n, N], "depth" (how many steps were reached) uint8 [n], "weight" float32 [n] and,
        if there is a group, "group", its hash, [n]."""
        return {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}


class Evaluator:
    """Runs a model on a dataset, each process of the cluster on its share of the rows.

    Args:
        model: any model of `tafe_tf.models`.
        features: the feature graph.
        cluster: the processes that evaluate together.
    """

    def __init__(
        self, model: keras.Model, features: Features, cluster: Cluster | None = None
    ) -> None:
        self.model, self.features, self.cluster = model, features, cluster or Cluster()

    def evaluate(self, data: FunnelData, part: Part = "all", also: Use | None = None) -> Metrics:
        """The metrics of a part of the data, and the "seconds" that it took; `also` sees its batches too.

        Raises:
            DataError: on a bad file or row.
            ValueError: if a logit is not finite.
        """
        began, schema = time.monotonic(), data.schema
        metrics = FunnelMetrics(schema.step_names, schema.conditional_names)
        truth = [task.truth for task in schema.tasks]

        def update(logits: np.ndarray, batch: Batch) -> bool:
            metrics.update(
                logits,
                batch.labels,
                sample_weight=batch.weight if schema.sample_weight else None,
                group=batch.extra[schema.group] if schema.group else None,
                truth=tf.stack([batch.extra[name] for name in truth], axis=1).numpy()
                if all(truth)
                else None,
            )
            return also(logits, batch) if also else True

        self.predict(data, part, update)
        if self.cluster.workers > 1:
            metrics.update(
                **_no_rows(schema)
            )  # so that a worker without any row has the others' arrays
            metrics = metrics.of_all(self.cluster.gather)
        return {**metrics.result(), "seconds": round(time.monotonic() - began, 3)}

    def predict(self, data: FunnelData, part: Part, use: Use) -> None:
        """Calls `use` with logits [B, N] and batch (NumPy arrays), in file order, as long as it returns true."""
        data = dataclasses.replace(data, readers=self.cluster.workers)
        stream = Stream(
            lambda: data.evaluation_batches(part, self.cluster.worker),
            data.schema,
            part,
            self.features,
        )
        try:
            for batch in stream.dataset:
                logits = self._logits(batch.inputs)
                if not use(
                    logits.numpy(),
                    tf.nest.map_structure(lambda x: x.numpy(), batch._replace(inputs=())),
                ):
                    return
        except tf.errors.OpError as error:
            stream.reraise(error)

    @tf.function(reduce_retracing=True)
    def _logits(self, inputs: Any) -> tf.Tensor:
        return self.model(inputs, training=False)


def _no_rows(schema: Schema) -> dict[str, Any]:
    """Arguments of `FunnelMetrics.update` for a batch of 0 rows."""
    none = np.zeros((0, len(schema.tasks)))
    asked = {"sample_weight": schema.sample_weight, "group": schema.group}
    rows = {
        "logits": none,
        "labels": none,
        **{name: none[:, 0] for name, column in asked.items() if column},
    }
    return {**rows, "truth": none} if all(task.truth for task in schema.tasks) else rows


def intercept_shifts(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, products: bool = False
) -> np.ndarray:
    """Constants c [N] for which sum w sigmoid(logit + c) = sum w label, by Newton's method in float64.

    0 where the labels are all equal, for which no finite constant will do, and below 1e-6, which float32 logits do
    not resolve: applied again, nothing changes.

    Args:
        logits: [n, N].
        labels: [n, N].
        weights: [n].
        products: add c to the logits of the conditional probabilities f_i / f_{i-1} instead, one step after the other.
    """
    shifts, mass = np.zeros(logits.shape[1]), weights.astype(np.float64)
    log_p = log_sigmoid(logits)
    for i in range(len(shifts)):
        x = logits[:, i].astype(np.float64)
        if products and i:
            log_r = np.minimum(log_p[:, i] - log_p[:, i - 1], -1e-7)
            x = log_r - np.log(-np.expm1(log_r))
        target = (weights * labels[:, i]).sum(dtype=np.float64)
        if 0 < target < mass.sum():
            shifts[i] = _intercept(x, target, mass)
        if products:
            mass = mass / (1.0 + np.exp(-(x + shifts[i])))
    return np.where(np.abs(shifts) < 1e-6, 0.0, shifts)


def _intercept(logits: np.ndarray, target: float, weights: np.ndarray) -> float:
    """The constant that makes predictions sum to `target`."""
    shift = 0.0
    for _ in range(20):
        p = 1.0 / (1.0 + np.exp(-(logits + shift)))
        step = (target - (weights * p).sum()) / (weights * p * (1.0 - p)).sum()
        shift += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-9:
            break
    return shift


def monitored(metrics: Metrics, monitor: str, step_names: tuple[str, ...]) -> float:
    """The metric that early stopping goes by, "auc" and "log_loss" as means over tasks; NaN where it is undefined.

    Raises:
        ValueError: if `monitor` is not a metric.
    """
    names = (
        [f"{monitor}/{name}" for name in step_names]
        if monitor in ("auc", "log_loss")
        else [monitor]
    )
    if names[0] not in metrics:
        raise ValueError(
            f"monitor must be 'auc', 'log_loss' or one of {sorted(metrics)}. Received: {monitor!r}"
        )
    values = [float(value) for value in map(metrics.get, names) if value is not None]
    return sum(values) / len(values) if values else math.nan


def goodness(value: float, monitor: str) -> float:
    """What is largest where the monitored metric is best; minus infinity where it is undefined."""
    if math.isnan(value):
        return -math.inf
    return (
        value
        if "auc" in monitor
        else -abs(math.log(value))
        if monitor.startswith("pcoc")
        else -value
    )
