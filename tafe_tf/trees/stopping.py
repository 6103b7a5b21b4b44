"""The held-out metric by which the trees of a step stop."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from tafe_tf.metrics import FunnelMetrics, goodness, monitored
from tafe_tf.schema import Schema
from tafe_tf.trees.probabilities import SMALLEST, logit_of_log
from tafe_tf.trees.table import TreeRows


class StepMonitor:
    """Measures f_i on the held-out impressions after each tree, as LightGBM asks for it.

    The networks stop by the mean of a metric over the steps; the trees of a step have no say in
    those of another, so each step stops by the same metric of its own f_i.

    Args:
        rows: The held-out rows.
        step: The place of the step in the funnel, from 0.
        monitor: See `TrainingConfig.monitor`; what stands behind a slash is left out.
        log_before: log f_{i-1} of the rows [n], where the trees learn the conditional probability;
            None (the default) where they learn f_i itself.

    Attributes:
        kind: The metric's name without what stands behind a slash.
        trees: How many trees have been measured.
        was_defined: Whether the rows defined the metric at any tree.
    """

    def __init__(
        self,
        rows: TreeRows,
        step: int,
        monitor: str,
        log_before: np.ndarray | None = None,
    ) -> None:
        self._rows = rows
        self._step = step
        self.kind, _, _ = monitor.partition("/")
        self._log_before = log_before
        self.trees = 0
        self.was_defined = False

    def __call__(self, probabilities: np.ndarray, _data: object) -> tuple[str, float, bool]:
        """The metric's name, its goodness, and that larger is better.

        Args:
            probabilities: What the trees so far say of the rows, [n].
        """
        self.trees += 1
        inside = np.clip(probabilities, SMALLEST, 1.0 - SMALLEST)
        logits = logit(inside)
        if self._log_before is not None:
            logits = logit_of_log(self._log_before + np.log(inside))
        value = self.measured(logits)
        self.was_defined |= not np.isnan(value)
        return self.kind, goodness(value, self.kind), True

    def measured(self, logits: np.ndarray) -> float:
        """The metric of logits of f_i [n]; NaN where it is undefined."""
        name = "step"
        metrics = FunnelMetrics([name], [])
        metrics.update(
            logits[:, None],
            self._rows.labels[:, [self._step]],
            sample_weight=self._rows.weight[:, self._step],
            group=self._rows.group,
        )
        of_step = self.kind if self.kind in ("auc", "log_loss") else f"{self.kind}/{name}"
        return monitored(metrics.result(), of_step, [name])


def check_monitor(monitor: str, schema: Schema) -> None:
    """Refuses a metric that the trees of a step cannot stop by.

    Args:
        monitor: See `TrainingConfig.monitor`.
        schema: Of the rows.

    Raises:
        ValueError: If a single step has no such metric, as the amounts' have none.
    """
    kinds = ["auc", "log_loss", "pcoc", "ece"]
    if schema.group:
        kinds.append("gauc")
    kind, _, name = monitor.partition("/")
    if kind not in kinds or name in schema.amount_names:
        raise ValueError(
            f"monitor of gbdt must be one of {kinds}, or one of these of a step: its trees are "
            f"grown step by step and predict no amounts. Received: {monitor!r}"
        )
