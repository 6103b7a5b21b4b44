"""The finished runs of a comparison, model by model."""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from tafe_tf.comparison.runs import ChildRun
from tafe_tf.data.atomic import read_json
from tafe_tf.training.errors import RunError

Arrays = dict[str, np.ndarray]


class FinishedModel:
    """The finished runs of one model, ordered by seed."""

    def __init__(self, runs: Sequence[ChildRun]) -> None:
        self.runs = runs
        self.seeds = [run.seed for run in runs]
        self.metrics = [read_json(run.path / "metrics.json") for run in runs]

    def table(self, keys: Sequence[str]) -> np.ndarray:
        """Metrics by seed and key, [S, keys]; NaN where one is undefined."""
        values = []
        for metrics in self.metrics:
            values.append([metrics.get(key) for key in keys])
        return np.array(values, np.float64)

    def values(self, key: str) -> list[float]:
        """A metric's values by seed, without the undefined ones."""
        values = [metrics.get(key) for metrics in self.metrics]
        return [value for value in values if value is not None]

    def mean(self, key: str) -> float | None:
        """A metric's mean over seeds; None if it is undefined for all of them."""
        values = self.values(key)
        return statistics.fmean(values) if values else None

    def gains(
        self,
        single: FinishedModel | None,
        keys: Sequence[str],
    ) -> dict[str, float]:
        """(AUC - AUC of single_task) / AUC of single_task, as in the paper's Table 2."""
        if single is None:
            return {}
        gains = {}
        for key in keys:
            own = self.mean(key)
            base = single.mean(key)
            if own and base:
                gains[key] = own / base - 1.0
        return gains

    def summary(self) -> dict[str, Any]:
        """Size, speed, and the mean and spread of each metric."""
        metrics = {}
        for key in self.metrics[0]:
            values = self.values(key)
            if values:
                metrics[key] = _spread(values)
        parameters = self.metrics[0]["parameters"]
        histories = [read_json(run.path / "history.json") for run in self.runs]
        training_speeds = [_training_speed(history) for history in histories]
        training_minutes = [_training_seconds(history) / 60.0 for history in histories]
        test_speeds = [each["rows"] / each["seconds"] for each in self.metrics]
        return {
            "seeds": self.seeds,
            "parameters": parameters,
            "mib": parameters * 4 / 2**20,
            "epochs": statistics.median(history[-1]["epoch"] for history in histories),
            "training_minutes": statistics.median(training_minutes),
            "train_rows_per_second": statistics.median(training_speeds),
            "test_rows_per_second": statistics.median(test_speeds),
            "metrics": metrics,
        }


def by_model(runs: Sequence[ChildRun]) -> dict[str, FinishedModel]:
    """The runs of each model, by its name, in the order of the runs."""
    by_name: dict[str, list[ChildRun]] = {}
    for run in runs:
        of_model = by_name.setdefault(run.variant.text, [])
        of_model.append(run)
    return {name: FinishedModel(its_runs) for name, its_runs in by_name.items()}


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation; the latter is None for a single value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values),
        "sd": deviation,
        "values": values,
    }


def predictions_of(run: ChildRun) -> Arrays:
    """The test rows' logits [rows, N], depth, weight and, where there are any, groups [rows]."""
    path = run.path / "predictions.npz"
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        mend = "remove it, and run the same command, which makes it anew"
        raise RunError(f"{path}: is damaged ({error}); {mend}") from None


def _training_speed(history: list[dict[str, Any]]) -> float:
    """Median rows per second of training, without the first epoch, which compiles, if possible."""
    epochs = history[1:] or history
    speeds = [epoch["train_rows"] / epoch["train_seconds"] for epoch in epochs]
    return float(statistics.median(speeds))


def _training_seconds(history: list[dict[str, Any]]) -> float:
    """Seconds of all epochs with their validation, by the process that ended the run."""
    return sum(epoch["train_seconds"] + epoch.get("seconds", 0.0) for epoch in history)
