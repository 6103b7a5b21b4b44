"""The paper's Figure 9 of a log: two models, runs or exports, on the same days."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.times import judged_at
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.insight.figures.charts import Figures, figure_9
from tafe_tf.insight.figures.daily import SHARE, DailyLift
from tafe_tf.insight.report.pairs import are_same_rows, lifts_by_day
from tafe_tf.insight.report.seen import days_of
from tafe_tf.insight.served import AsModel, Served, raw, version_of
from tafe_tf.insight.slices.measured import Rows
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run import Run, load


@dataclasses.dataclass(frozen=True)
class Lift:
    """How many more outcomes one model finds than another, day by day.

    Attributes:
        new: The model, as it was named.
        other: The model that it is measured against.
        share: Of each day's rows, how many a model takes.
        days: The days of each step of the funnel, the last entry of all days together.
    """

    new: str
    other: str
    share: float
    days: Mapping[str, Sequence[DailyLift]]

    def figures(self) -> Figures:
        """A chart for each step."""
        found: Figures = {}
        for step, lifts in self.days.items():
            found |= figure_9(lifts, step, self.new, self.other, self.share)
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, for `json.dumps`."""
        days = {step: [one._asdict() for one in lifts] for step, lifts in self.days.items()}
        return {"new": self.new, "other": self.other, "share": self.share, "days": days}


def find_lift(
    new: str | os.PathLike[str],
    other: str | os.PathLike[str],
    rows: Sequence[str],
    day: str,
    share: float = SHARE,
    input_format: str = "",
) -> Lift:
    """Compares two models on a log with labels, see `tafe_tf.insight.figures.daily`.

    Args:
        new: A run, or an export: its directory, or its URI; of several versions the newest counts.
        other: The same, of the model that it is measured against.
        rows: Files with labels that neither model was trained on, see `find_sources`.
        day: The column with each row's day.
        share: Of each day's rows, how many a model takes. Default: 0.1.
        input_format: The format of files without an ending. Default: "".

    Raises:
        DataError: On a bad row, if the column is not there, or if the models do not have the same
            steps or read the labels of the rows differently.
        RunError: If there is no such model.

    Example:
        lift = find_lift("models/shop/7", "models/shop/6", ["log/*.parquet"], "date")
        print(lift.days["ctr"][-1])
    """
    names = [os.fspath(model) for model in (new, other)]
    files = find_sources(list(rows), input_format)
    models = [_opened(name) for name in names]
    steps = [", ".join(model.schema.step_names) for model in models]
    if steps[0] != steps[1]:
        raise DataError(f"the models must have the same steps. Received: {' and '.join(steps)}")
    schema = models[0].schema
    (mine, data), (theirs, _) = [_predicted(model, files) for model in models]
    if not are_same_rows(mine, theirs):
        raise DataError(f"{names[0]} and {names[1]} read the labels of these rows differently")
    days = days_of(data, day)
    of_steps = lifts_by_day(days, mine, theirs, schema, share)
    return Lift(names[0], names[1], share, of_steps)


def _opened(name: str) -> Run | Served:
    version = version_of(name)
    return load(name) if version is None else Served(version)


def _predicted(model: Run | Served, files: Sequence[str]) -> tuple[Rows, FunnelData]:
    """What a model predicts of rows, as it is served, and the rows."""
    schema = model.schema
    seen = Predictions(schema, keeps_group=True, keeps_amount=False)
    if isinstance(model, Run):
        data = model.data(list(files))
        Evaluator(model.model, model.features).predict(data, "all", seen.add)
    else:
        now = judged_at("", schema, {"given": files}, BadRows())
        data = FunnelData(files=files, schema=schema, batch_size=EVALUATION_ROWS, now=now)
        as_model: Any = AsModel(model)
        as_features: Any = raw
        Evaluator(as_model, as_features).predict(data, "all", seen.add)
    rows = seen.arrays()
    rows["logits"] = np.minimum.accumulate(rows["logits"], axis=1)  # as an export answers
    return rows, data
