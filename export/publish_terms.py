"""On what terms a model may follow the one before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tafe_tf.data.batches.batch import Part
from tafe_tf.export.check import ExportError
from tafe_tf.metrics import Metrics
from tafe_tf.terminal.tables import show
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.predecessor import beside, evaluate, previous_of
from tafe_tf.training.run_dir import RunDir, RunError

_RECORDED = ("auc", "log_loss", "pcoc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """How much worse than the previous model a new one may be, for every step of the funnel, over all impressions.

    Both are measured on the new run's test rows, those held out where it has none: the previous model as it was
    trained, the new one as it is exported, calibrated and stored in fewer bits say. Point estimates are compared: a
    margin should be wider than their noise, which `tafe_tf.compare` tells.

    Attributes:
        previous: the run of the previous model; by default the one that the new run was warm-started from, if any.
        max_auc_loss: by how much the AUC may be lower.
        max_log_loss_rise: by which share of the previous one the log loss may be larger.
        publish_worse: publish a model that does not keep the terms, too.
    """

    previous: RunDir | None = None
    max_auc_loss: float = 0.002
    max_log_loss_rise: float = 0.01
    publish_worse: bool = False

    def judge(self, run: RunDir, exported: Callable[..., Any]) -> dict[str, Any] | None:
        """Compares, prints both, and lets the new model pass.

        Args:
            run: the new run.
            exported: its model as it will be served, model inputs -> logits.

        Returns:
            What the model card says of it; None if there is no previous model.

        Raises:
            ExportError: if the model is worse than the terms allow, or no row is there to tell.
            RunError: if the previous run, or the rows, are gone.
        """
        previous = self.previous or previous_of(run)
        if previous is None:
            return None
        if not previous.path.exists():
            raise RunError(
                f"{previous.path}: the run before {run.path} is gone; bring it back, or give --previous"
            )
        test = run.test()
        part: Part = "valid" if test is None else "all"
        data = run.held_out() if test is None else test
        before, new = (
            evaluate(previous, data, part),
            Evaluator(exported, run.features()).evaluate(data, part),
        )
        rows = f"{new['rows']:,} {'held-out' if test is None else 'test'} rows"
        show(beside(before, new, data.schema, f"{rows}: {previous.path}, and this run as exported"))
        broken = self.broken(before, new, data.schema.step_names)
        if broken and not self.publish_worse:
            raise ExportError(
                f"{run.path}: worse than {previous.path} on {rows}: {'; '.join(broken)}; --publish_worse publishes it"
            )
        return {
            "run": str(previous.path),
            "rows": rows,
            "max_auc_loss": self.max_auc_loss,
            "max_log_loss_rise": self.max_log_loss_rise,
            "broken": broken,
            "metrics_before": _recorded(before),
            "metrics": _recorded(new),
        }

    def broken(self, before: Metrics, new: Metrics, steps: tuple[str, ...]) -> list[str]:
        """The terms that the new metrics do not keep, a text each; a metric that is undefined on the rows keeps its."""
        if not new["rows"]:
            return ["there is no row to tell by"]
        found = []
        for step in steps:
            a, b = before[f"auc/{step}"], new[f"auc/{step}"]
            if a is not None and b is not None and a - b > self.max_auc_loss:
                found.append(
                    f"AUC of {step} {b:.5f} after {a:.5f}, lower by more than {self.max_auc_loss:g}"
                )
            a, b = before[f"log_loss/{step}"], new[f"log_loss/{step}"]
            if a is not None and b is not None and b > a * (1.0 + self.max_log_loss_rise):
                found.append(
                    f"log loss of {step} {b:.5f} after {a:.5f}, larger by more than {self.max_log_loss_rise:.2%}"
                )
        return found


def _recorded(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if name.split("/")[0] in _RECORDED}
