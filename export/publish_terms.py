"""The publish gate: how much worse than its predecessor a model may be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.export.errors import ExportError
from tafe_tf.export.held_out_rows import Score, unseen
from tafe_tf.insight.slices.reading import slicings_by
from tafe_tf.insight.slices.worse import Worse, worse_slices
from tafe_tf.metrics import Metrics
from tafe_tf.terminal.tables import show
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator, Use
from tafe_tf.training.predecessor import comparison_table, evaluate, predecessor_of
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run_dir import RunDir

_RECORDED = ("auc", "log_loss", "pcoc")
_MOST_SLICES = 5  # that an error names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """How much worse than the previous model a new one may be, for each step of the funnel.

    Both models are measured on all impressions of the new run's test rows, or of its held-out rows
    if it has no test rows: the previous model as it was trained, the new one as it is exported
    (calibrated, say, or stored in fewer bits). Point estimates are compared, so a margin should be
    wider than their noise, which `tafe_tf.compare` measures.

    Attributes:
        previous: The run of the previous model. The default, None, means the run that the new one
            was warm-started from, if any.
        max_auc_loss: By how much the AUC may be lower, a difference; 0.002 by default.
        max_log_loss_rise: By how much the log loss may be larger, a share of the previous one; 0.01
            by default.
        slice_by: Columns, of the schema or not, by whose values the rows are divided for
            `max_slice_loss`; none by default.
        max_slice_loss: By how much the log loss of any step may be larger in the rows of one value,
            a share of the previous one; 0.01 by default. Only what is beyond noise counts, see
            `tafe_tf.insight.slices.worse`.
        publish_worse: Whether to publish a model that is worse than that; False by default.

    Raises:
        ValueError: If a margin is negative or not finite.
    """

    previous: RunDir | None = None
    max_auc_loss: float = 0.002
    max_log_loss_rise: float = 0.01
    slice_by: tuple[str, ...] = ()
    max_slice_loss: float = 0.01
    publish_worse: bool = False

    def __post_init__(self) -> None:
        for name in ("max_auc_loss", "max_log_loss_rise", "max_slice_loss"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"`{name}` must be finite and not negative. Received: {value}")

    def judge(self, run: RunDir, exported: Score) -> dict[str, Any] | None:
        """Measures both models, prints their metrics, and lets the new model pass or not.

        Args:
            run: The new run.
            exported: Its model as it will be served, a function from model inputs to logits.

        Returns:
            What the model card says about it; None if there is no previous model.

        Raises:
            ExportError: If the model is worse than the terms allow, or there is no row to measure
                on.
            RunError: If the previous run, or the rows, are gone.
        """
        previous = self.previous or predecessor_of(run)
        if previous is None:
            if self.slice_by:
                print(
                    "there is no previous model: --slice_by compares nothing; --previous names one"
                )
            return None
        if not previous.is_there:
            raise RunError(
                f"{previous}: the run before {run} is gone; bring it back, or give --previous"
            )
        data, part, name = unseen(run)
        rows_before, rows_new = self._collecting(data), self._collecting(data)
        before = evaluate(previous, data, part, also=_use(rows_before))
        evaluator = Evaluator(exported, run.features())
        new = evaluator.evaluate(data, part, _use(rows_new))
        rows = f"{new['rows']:,} {name}"
        show(
            comparison_table(
                before,
                new,
                data.schema,
                f"{rows}: {previous}, and this run as exported",
            )
        )
        broken = self.broken(before, new, data.schema.step_names)
        if rows_before and rows_new:
            slicings = slicings_by(data, self.slice_by, part)
            worse = worse_slices(
                rows_before.arrays(),
                rows_new.arrays(),
                slicings,
                data.schema,
                self.max_slice_loss,
            )
            count = sum(len(slicing.names) for slicing in slicings)
            by = ", ".join(self.slice_by)
            print(f"{count:,} slices by {by}, all steps: {len(worse):,} are worse beyond noise")
            broken += self._broken_slices(worse)
        if broken and not self.publish_worse:
            raise ExportError(
                f"{run}: worse than {previous} on {rows}: {'; '.join(broken)}; "
                "--publish_worse publishes it"
            )
        return {
            "run": str(previous),
            "rows": rows,
            "max_auc_loss": self.max_auc_loss,
            "max_log_loss_rise": self.max_log_loss_rise,
            "slice_by": list(self.slice_by),
            "max_slice_loss": self.max_slice_loss,
            "broken": broken,
            "metrics_before": _recorded(before),
            "metrics": _recorded(new),
        }

    def broken(
        self,
        before: Metrics,
        new: Metrics,
        steps: tuple[str, ...],
    ) -> list[str]:
        """Finds the terms that a model does not keep.

        Args:
            before: The previous model's metrics.
            new: The new model's metrics, on the same rows.
            steps: Names of the steps, such as "ctr".

        Returns:
            A text for each term that is not kept. A metric that is undefined on the rows breaks
            none.
        """
        if not new["rows"]:
            return ["there is no row to tell by"]
        found = []
        for step in steps:
            found += self._broken_auc(
                step,
                before[f"auc/{step}"],
                new[f"auc/{step}"],
            )
            found += self._broken_log_loss(
                step,
                before[f"log_loss/{step}"],
                new[f"log_loss/{step}"],
            )
        return found

    def _broken_auc(
        self,
        step: str,
        before: float | None,
        new: float | None,
    ) -> list[str]:
        if before is None or new is None:
            return []
        is_worse = before - new > self.max_auc_loss
        margin = f"{self.max_auc_loss:g}"
        text = f"AUC of {step} {new:.5f} after {before:.5f}, lower by more than {margin}"
        return [text] if is_worse else []

    def _broken_log_loss(
        self,
        step: str,
        before: float | None,
        new: float | None,
    ) -> list[str]:
        if before is None or new is None:
            return []
        is_worse = new > before * (1.0 + self.max_log_loss_rise)
        margin = f"{self.max_log_loss_rise:.2%}"
        text = f"log loss of {step} {new:.5f} after {before:.5f}, larger by more than {margin}"
        return [text] if is_worse else []

    def _collecting(self, data: FunnelData) -> Predictions | None:
        """Keeps what a model predicts of each row, which only slices need."""
        if not self.slice_by:
            return None
        return Predictions(data.schema, keeps_group=True, keeps_amount=False)

    def _broken_slices(self, worse: Sequence[Worse]) -> list[str]:
        margin = f"{self.max_slice_loss:.2%}"
        found = []
        for one in worse[:_MOST_SLICES]:
            found.append(
                f"log loss of {one.step} where {one.column} = {one.value} ({one.rows:,} rows) "
                f"{one.new:.5f} after {one.before:.5f}, larger by more than {margin} beyond noise"
            )
        if len(worse) > _MOST_SLICES:
            found.append(f"and in {len(worse) - _MOST_SLICES:,} further slices")
        return found


def _use(rows: Predictions | None) -> Use | None:
    """What an evaluator calls for each batch."""
    return None if rows is None else rows.add


def _recorded(metrics: Metrics) -> Metrics:
    """The metrics that the model card keeps."""
    recorded = {}
    for name, value in metrics.items():
        kind, _, _ = name.partition("/")
        if kind in _RECORDED:
            recorded[name] = value
    return recorded
