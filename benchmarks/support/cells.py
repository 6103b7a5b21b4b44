"""What the tables of docs/which_model.md show of a model on a funnel: a function for each cell."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.comparison.means import CONDITIONAL_MEAN, MEAN
from tafe_tf.comparison.tables import mean_and_deviation, mean_auc, short
from tafe_tf.data.atomic import read_json
from tafe_tf.schema import Schema


@dataclasses.dataclass(frozen=True)
class Funnel:
    """A finished comparison and the data that it was made on.

    Attributes:
        name: Of its run directory.
        schema: Of the data.
        statistics: Of the training rows, see `tafe_tf.features.vocabulary`.
        results: What `tafe_tf.compare` left.
    """

    name: str
    schema: Schema
    statistics: dict[str, Any]
    results: dict[str, Any]

    @classmethod
    def read(cls, run: pathlib.Path) -> Funnel:
        """Reads a comparison's run directory."""
        prepared = run / "prepared"
        return cls(
            name=run.name,
            schema=schema_toml.load(prepared / "schema.toml"),
            statistics=read_json(prepared / "statistics.json"),
            results=read_json(run / "compare.json"),
        )

    @property
    def models(self) -> dict[str, Any]:
        """The figures of each model, by its name."""
        found: dict[str, Any] = self.results["models"]
        return found


Cell = Callable[[Funnel, dict[str, Any]], str]  # of a funnel and a model's figures


def is_level(difference: dict[str, Any] | None) -> bool:
    """Whether a model is the best baseline itself, or not below it by the interval's upper end."""
    if difference is None:
        return True
    if not difference:
        return False
    _, high = difference["interval"]
    return bool(high >= 0)


def step_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """A model's mean AUC over the steps, and how far it is from the best baseline."""
    return _auc_cell(step_mean(funnel, model), model["difference"], model["interval"].get(MEAN))


def conditional_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """The same of the conditionals; nothing where the funnel has one step."""
    if not funnel.schema.conditional_names:
        return ""
    mean = mean_auc(model, funnel.schema.conditional_names)
    interval = model["interval"].get(CONDITIONAL_MEAN)
    return _auc_cell(mean, model["conditional_difference"], interval)


def _auc_cell(
    mean: float | None,
    difference: dict[str, Any] | None,
    interval: Sequence[float] | None,
) -> str:
    """An AUC with its difference to the best baseline, or with its interval; bold if level."""
    auc = short(mean)
    if difference is None:
        low, high = interval or (None, None)
        return f"**{auc}** [{short(low)}, {short(high)}]"
    if not difference:
        return auc
    if is_level(difference):
        auc = f"**{auc}**"
    low, high = difference["interval"]
    return f"{auc} {difference['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def step_error_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """How far each step is from the true one, ± over seeds; nothing if that is not known."""
    return _of_truth(model, "truth_mae", funnel.schema.step_names)


def conditional_error_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """The same of the conditionals."""
    return _of_truth(model, "truth_mae", funnel.schema.conditional_names)


def calibration_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """Predicted / true of each step, then of each conditional; nothing if that is not known."""
    names = (*funnel.schema.step_names, *funnel.schema.conditional_names)
    return _of_truth(model, "truth_ratio", names)


def _of_truth(model: dict[str, Any], metric: str, names: Sequence[str]) -> str:
    found = []
    for name in names:
        value = model["metrics"].get(f"{metric}/{name}")
        if value is not None:
            found.append(mean_and_deviation(value))
    return ", ".join(found)


def minutes_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """Minutes of a training, and how many epochs it took."""
    epochs = "1 epoch" if model["epochs"] == 1 else f"{model['epochs']:g} epochs"
    return f"{model['training_minutes']:.1f} ({epochs})"


def speed_cell(funnel: Funnel, model: dict[str, Any]) -> str:
    """Rows of the test file that a second scores, reading included."""
    return f"{model['test_rows_per_second']:,.0f}"


def step_mean(funnel: Funnel, model: dict[str, Any]) -> float | None:
    """A model's mean AUC over the steps."""
    return mean_auc(model, funnel.schema.step_names)
