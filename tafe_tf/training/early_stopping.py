"""Early stopping: which validation is the best, and when to wait no longer for a better one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from tafe_tf.metrics import Metrics, goodness, monitored, monitored_names


@dataclasses.dataclass
class EarlyStopping:
    """Compares each validation with the best one so far, by one metric.

    Validation takes place after each epoch and, with `TrainingConfig.validate_steps`, within it.

    Attributes:
        monitor: The metric, see `TrainingConfig.monitor`.
        patience: Number of validations without a better one after which to stop.
        step_names: Names of f_1, ..., f_N.
        falls: Whether the learning rate falls after each validation that is not the best so far.
            `patience` is then how often it may fall, over the whole training. Default: False.
        best: Goodness of the best one so far; larger is better.
        waited: Number of validations since then; if the learning rate falls, of all validations
            that were not the best so far.
        seen: Number of validations so far.
        was_best: Whether the last validation was the best so far.

    Example:
        >>> stopping = EarlyStopping("auc/ctr", patience=1, step_names=("ctr", "ctcvr"))
        >>> stopping.is_best({"auc/ctr": 0.7, "rows": 100})
        True
        >>> stopping.is_best({"auc/ctr": 0.6, "rows": 100}), stopping.is_over
        (False, True)
    """

    monitor: str
    patience: int
    step_names: Sequence[str]
    falls: bool = False
    best: float = -math.inf
    waited: int = 0
    seen: int = 0
    was_best: bool = False

    def reached(self, metrics: Metrics) -> float:
        """The monitored metric; NaN where it is undefined.

        Raises:
            ValueError: If there is no such metric.
        """
        return monitored(metrics, self.monitor, self.step_names)

    def undefined(self, metrics: Metrics) -> list[str]:
        """The metrics that are undefined of those that it goes by, as far as there are rows."""
        if metrics["rows"] == 0:
            return []
        names = monitored_names(self.monitor, self.step_names)
        return [name for name in names if metrics.get(name) is None]

    def is_best(self, metrics: Metrics) -> bool:
        """Counts a validation, and says whether it is the best one so far.

        Without validation rows every one is, so that the last one counts; an undefined metric is
        worse than any other, but the first one is always the best so far.
        """
        score = goodness(self.reached(metrics), self.monitor)
        nothing_to_choose_by = metrics["rows"] == 0 or self.seen == 0
        self.seen += 1
        self.was_best = bool(score > self.best or nothing_to_choose_by)
        if not self.was_best:
            self.waited += 1
            return False
        self.best = score
        if not self.falls:
            self.waited = 0
        return True

    @property
    def is_over(self) -> bool:
        """Whether to wait no longer."""
        if self.falls:
            return self.waited > self.patience
        return self.waited >= self.patience
