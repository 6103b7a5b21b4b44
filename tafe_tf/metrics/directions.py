"""For each metric which values are better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Direction = Literal["larger", "smaller", "nearest to 1"]

# The part of a metric's name before the slash -> which of its values are better.
DIRECTIONS: dict[str, Direction] = {
    "auc": "larger",
    "gauc": "larger",
    "gini": "larger",
    "log_loss": "smaller",
    "pcoc": "nearest to 1",
    "ece": "smaller",
    "violation_rate": "smaller",
    "truth_auc": "larger",
    "truth_auc_best": "larger",
    "truth_ratio": "nearest to 1",
    "truth_mae": "smaller",
}


def direction(name: str) -> Direction:
    """Returns which values of a metric are better; those not in `DIRECTIONS` count as a cost.

    Args:
        name: Name of the metric, with or without what it is measured on.

    Example:
        >>> direction("auc/ctr"), direction("pcoc/cvr"), direction("seconds")
        ('larger', 'nearest to 1', 'smaller')
    """
    kind, *_ = name.split("/")
    return DIRECTIONS.get(kind, "smaller")


def goodness(value: float, name: str) -> float:
    """Returns what is largest where the metric is best; minus infinity where it is undefined.

    Args:
        value: The metric, NaN where it is undefined.
        name: Its name. A ratio is compared with 1 by its logarithm, so that 2 and 1/2 are as good.

    Example:
        >>> goodness(0.8, "auc/ctr"), goodness(0.2, "log_loss/ctr")
        (0.8, -0.2)
        >>> goodness(0.5, "pcoc/ctr") == goodness(2.0, "pcoc/ctr") < goodness(0.9, "pcoc/ctr")
        True
    """
    if math.isnan(value):
        return -math.inf
    better = direction(name)
    if better == "larger":
        return value
    if better == "smaller":
        return -value
    if value <= 0:
        return -math.inf
    return -abs(math.log(value))


def monitored(
    metrics: Mapping[str, float | int | None],
    name: str,
    step_names: Sequence[str],
) -> float:
    """Returns the metric that early stopping goes by.

    Args:
        metrics: All metrics by name, None where they are undefined.
        name: One of their names, or "auc" or "log_loss" for the mean over the steps that have one.
        step_names: Names of f_1, ..., f_N.

    Returns:
        The metric; NaN where it is undefined.

    Raises:
        ValueError: If there is no such metric.

    Example:
        >>> monitored({"auc/ctr": 0.75, "auc/ctcvr": 0.25}, "auc", ["ctr", "ctcvr"])
        0.5
    """
    names = monitored_names(name, step_names)
    if names[0] not in metrics:
        raise ValueError(
            f"monitor must be 'auc', 'log_loss' or one of {sorted(metrics)}. Received: {name!r}"
        )
    found = [metrics.get(one) for one in names]
    values = [float(value) for value in found if value is not None]
    if not values:
        return math.nan
    return sum(values) / len(values)


def monitored_names(name: str, step_names: Sequence[str]) -> list[str]:
    """Returns the names of the metrics that `monitored` is the mean of.

    Args:
        name: As `monitored` takes it.
        step_names: Names of f_1, ..., f_N.

    Example:
        >>> monitored_names("auc", ["ctr", "ctcvr"]), monitored_names("ece/ctr", ["ctr"])
        (['auc/ctr', 'auc/ctcvr'], ['ece/ctr'])
    """
    if name in ("auc", "log_loss"):
        return [f"{name}/{step}" for step in step_names]
    return [name]
