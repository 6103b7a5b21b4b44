"""What the runs of a comparison say: means, spread, intervals, paired tests and gains."""

from __future__ import annotations

import dataclasses
import statistics
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.comparison.bootstrap import RankedRows, interval, over_seeds, p_value, resamples
from tafe_tf.comparison.runs import ChildRun
from tafe_tf.data.atomic import read_json
from tafe_tf.metrics import NO_GROUP, log_sigmoid
from tafe_tf.schema import Schema
from tafe_tf.training.errors import RunError

MEAN = "auc/mean"  # mean over the tasks of the AUC over all impressions

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """How to compare.

    Attributes:
        schema: The data set's schema.
        replicates: Number of bootstrap samples; 400 by default.
        against: The model that the others are tested against; by default, or if empty, the best one
            that is not TAFE or a variant of it.
        published: Metrics by model from a paper, and under "source" a text that names it; none by
            default.
    """

    schema: Schema
    replicates: int = 400
    against: str = ""
    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def results(
        self,
        runs: Sequence[ChildRun],
        failed: Mapping[str, str],
    ) -> dict[str, Any]:
        """Computes all figures, ready to be written as JSON.

        Args:
            runs: All runs; those that are not done are left out.
            failed: What went wrong, by the run's name.

        Raises:
            ValueError: If no run is done, `against` is none of the models, or two runs were
                evaluated on different test rows.
        """
        done = [run for run in runs if run.is_done]
        if not done:
            raise ValueError(f"no run has finished: {dict(failed)}")
        models = _by_model(done)
        test_rows = _predictions(done[0])
        replicates = self._replicates(models, test_rows)
        against = self.against or self._best_baseline(models)
        if against not in models:
            raise ValueError(f"--against must be one of {', '.join(models)}. Received: {against!r}")
        groups = None
        if "group" in test_rows:
            group = test_rows["group"]
            groups = len(np.unique(group[group != NO_GROUP]))
        single = models.get("single_task")
        described = {}
        for name, model in models.items():
            described[name] = {
                **self._described(model, single, replicates[name]),
                "difference": self._difference(models, replicates, name, against),
                "published": dict(self.published.get(name, {})),
            }
        return {
            "dataset": self.schema.name,
            "test_rows": len(test_rows["logits"]),
            "groups": groups,
            "replicates": self.replicates,
            "against": against,
            "source": self.published.get("source", "published"),
            "failed": dict(failed),
            "models": described,
        }

    def _described(
        self,
        model: _Model,
        single: _Model | None,
        replicates: Mapping[str, np.ndarray],
    ) -> dict[str, Any]:
        """A model's own figures and its gains over `single`."""
        intervals = {}
        for key, aucs in replicates.items():
            intervals[key] = interval(over_seeds(aucs))
        step_aucs = [f"auc/{name}" for name in self.schema.step_names]
        return {
            **model.summary(),
            "interval": intervals,
            "gain": model.gains(single, step_aucs),
        }

    def _replicates(
        self,
        models: Mapping[str, _Model],
        test_rows: Arrays,
    ) -> dict[str, Arrays]:
        """AUCs [S, R] by model and metric; S seeds, R replicates."""
        found: dict[str, Arrays] = {}
        for name, model in models.items():
            by_seed = [self._aucs(run, test_rows) for run in model.runs]
            found[name] = {}
            for key in by_seed[0]:
                found[name][key] = np.stack([aucs[key] for aucs in by_seed])
        return found

    def _aucs(self, run: ChildRun, test_rows: Arrays) -> Arrays:
        """AUCs [R] of one run by metric; every run is evaluated on the same samples."""
        rows = _predictions(run)
        if not np.array_equal(rows["depth"], test_rows["depth"]):
            raise ValueError(f"{run.path}: was tested on other rows than the first run")
        ranked = self._ranked(rows)
        parts: dict[str, list[np.ndarray]] = {key: [] for key in ranked}
        drawn = resamples(
            len(rows["logits"]),
            rows.get("group"),
            self.replicates,
        )
        for counts in drawn:
            for key, metric in ranked.items():
                parts[key].append(metric.aucs(counts))
        aucs = {}
        for key, values in parts.items():
            aucs[key] = np.concatenate(values)
        step_aucs = [aucs[f"auc/{name}"] for name in self.schema.step_names]
        return {
            **aucs,
            MEAN: np.mean(step_aucs, axis=0),
        }

    def _ranked(self, rows: Arrays) -> dict[str, RankedRows]:
        """The test rows ranked by each probability, by metric."""
        log_p = log_sigmoid(rows["logits"])
        depth = rows["depth"]
        weight = rows["weight"]
        ranked = {}
        for i, name in enumerate(self.schema.step_names):
            ranked[f"auc/{name}"] = RankedRows(
                log_p[:, i],
                depth > i,
                weight,
            )
        for i, name in enumerate(self.schema.conditional_names, start=1):
            log_ratio = log_p[:, i] - log_p[:, i - 1]
            log_conditional = np.minimum(log_ratio, 0.0)
            ranked[f"auc/{name}"] = RankedRows(
                log_conditional,
                depth > i,
                weight,
                depth >= i,
            )
        return ranked

    def _difference(
        self,
        models: Mapping[str, _Model],
        replicates: Mapping[str, Mapping[str, np.ndarray]],
        name: str,
        against: str,
    ) -> dict[str, Any] | None:
        """The difference of two models' mean AUC over the tasks, paired by seed and test row.

        Only the seeds that both models have are compared.

        Returns:
            None for the model itself; an empty dictionary if the difference is undefined.
        """
        if name == against:
            return None
        own_seeds = models[name].seeds
        base_seeds = models[against].seeds
        seeds = [seed for seed in own_seeds if seed in base_seeds]
        if not seeds:
            return {}
        own = [own_seeds.index(seed) for seed in seeds]
        base = [base_seeds.index(seed) for seed in seeds]
        own_aucs = self._step_aucs(models[name])[own]
        base_aucs = self._step_aucs(models[against])[base]
        difference = (own_aucs - base_aucs).mean()
        if not np.isfinite(difference):
            return {}
        own_replicates = replicates[name][MEAN][own]
        base_replicates = replicates[against][MEAN][base]
        drawn = over_seeds(own_replicates - base_replicates)
        return {
            "mean": float(difference),
            "interval": interval(drawn),
            "p": p_value(drawn),
            "seeds": seeds,
        }

    def _step_aucs(self, model: _Model) -> np.ndarray:
        """AUCs over all impressions by seed and step, [S, N]; NaN where one is undefined."""
        keys = [f"auc/{name}" for name in self.schema.step_names]
        values = []
        for metrics in model.metrics:
            values.append([metrics.get(key) for key in keys])
        return np.array(values, np.float64)

    def _best_baseline(self, models: Mapping[str, _Model]) -> str:
        """The model with the highest mean AUC among those that are not TAFE, or among all."""
        baselines = []
        for name in models:
            family, _, _ = name.partition("/")
            if family != "tafe":
                baselines.append(name)
        means = {}
        for name in baselines or models:
            aucs = self._step_aucs(models[name])
            means[name] = np.nan_to_num(aucs).mean()
        return max(means, key=lambda name: means[name])


class _Model:
    """The finished runs of one model, ordered by seed."""

    def __init__(self, runs: Sequence[ChildRun]) -> None:
        self.runs = runs
        self.seeds = [run.seed for run in runs]
        self.metrics = [read_json(run.path / "metrics.json") for run in runs]

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
        single: _Model | None,
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
        training_speeds = [_training_speed(run) for run in self.runs]
        test_speeds = [each["rows"] / each["seconds"] for each in self.metrics]
        return {
            "seeds": self.seeds,
            "parameters": parameters,
            "mib": parameters * 4 / 2**20,
            "train_rows_per_second": statistics.median(training_speeds),
            "test_rows_per_second": statistics.median(test_speeds),
            "metrics": metrics,
        }


def _by_model(runs: Sequence[ChildRun]) -> dict[str, _Model]:
    """The runs of each model, by its name, in the order of the runs."""
    by_name: dict[str, list[ChildRun]] = {}
    for run in runs:
        of_model = by_name.setdefault(run.variant.text, [])
        of_model.append(run)
    return {name: _Model(its_runs) for name, its_runs in by_name.items()}


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation; the latter is None for a single value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values),
        "sd": deviation,
        "values": values,
    }


def _predictions(run: ChildRun) -> Arrays:
    """The test rows' logits [rows, N], depth, weight and, where there are any, groups [rows]."""
    path = run.path / "predictions.npz"
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        mend = "remove it, and run the same command, which makes it anew"
        raise RunError(f"{path}: is damaged ({error}); {mend}") from None


def _training_speed(run: ChildRun) -> float:
    """Median rows per second of training, without the first epoch, which compiles, if possible."""
    history = read_json(run.path / "history.json")
    epochs = history[1:] or history
    speeds = [epoch["train_rows"] / epoch["train_seconds"] for epoch in epochs]
    return float(statistics.median(speeds))
