"""When training has stopped to get better."""

from __future__ import annotations

import math

from tafe_tf.metrics import Metrics


def monitored(metrics: Metrics, monitor: str, step_names: tuple[str, ...]) -> float:
    """The metric that early stopping goes by, "auc" and "log_loss" as means over tasks; NaN where it is undefined.

    Raises:
        ValueError: if `monitor` is not a metric.
    """
    names = [f"{monitor}/{name}" for name in step_names]
    if monitor not in ("auc", "log_loss"):
        names = [monitor]
    if names[0] not in metrics:
        known = sorted(metrics)
        raise ValueError(
            f"monitor must be 'auc', 'log_loss' or one of {known}. Received: {monitor!r}"
        )
    values = [float(value) for value in map(metrics.get, names) if value is not None]
    return sum(values) / len(values) if values else math.nan


def goodness(value: float, monitor: str) -> float:
    """What is largest where the monitored metric is best; minus infinity where it is undefined."""
    if math.isnan(value):
        return -math.inf
    if "auc" in monitor:
        return value
    return -abs(math.log(value)) if monitor.startswith("pcoc") else -value
