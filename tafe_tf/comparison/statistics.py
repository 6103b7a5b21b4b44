"""What the runs of a comparison say: means, spread, intervals, paired tests and gains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.comparison.differences import Differences
from tafe_tf.comparison.finished import Arrays, FinishedModel, by_model, predictions_of
from tafe_tf.comparison.means import CONDITIONAL_MEAN, MEAN
from tafe_tf.comparison.runs import ChildRun
from tafe_tf.metrics import NO_GROUP, log_sigmoid, weights_of_steps
from tafe_tf.metrics.bootstrap import RankedRows, interval, over_seeds, resamples
from tafe_tf.schema import Schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """How to compare.

    Attributes:
        schema: The data set's schema.
        replicates: Number of bootstrap samples; 400 by default.
        against: The model that the others are tested against; by default, or if empty, the best one
            that is not TAFE or a variant of it, of the tasks and of the conditionals each.
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
        models = by_model(done)
        test_rows = predictions_of(done[0])
        replicates = self._replicates(models, test_rows)
        of_tasks = self._differences(models, replicates, self.schema.step_names, MEAN)
        of_conditionals = None
        if self.schema.conditional_names:
            of_conditionals = self._differences(
                models,
                replicates,
                self.schema.conditional_names,
                CONDITIONAL_MEAN,
            )
        groups = None
        if "group" in test_rows:
            group = test_rows["group"]
            groups = len(np.unique(group[group != NO_GROUP]))
        single = models.get("single_task")
        described = {}
        for name, model in models.items():
            described[name] = {
                **self._described(model, single, replicates[name]),
                "difference": of_tasks.of(name),
                "conditional_difference": of_conditionals.of(name) if of_conditionals else {},
                "published": dict(self.published.get(name, {})),
            }
        return {
            "dataset": self.schema.name,
            "test_rows": len(test_rows["logits"]),
            "groups": groups,
            "replicates": self.replicates,
            "against": of_tasks.against,
            "conditionals_against": of_conditionals.against if of_conditionals else None,
            "source": self.published.get("source", "published"),
            "failed": dict(failed),
            "models": described,
        }

    def _differences(
        self,
        models: Mapping[str, FinishedModel],
        replicates: Mapping[str, Mapping[str, np.ndarray]],
        names: Sequence[str],
        mean: str,
    ) -> Differences:
        """The tests of the mean AUC of some probabilities, which has a name in `replicates`."""
        metrics = [f"auc/{name}" for name in names]
        return Differences(models, replicates, metrics, mean, self.against)

    def _described(
        self,
        model: FinishedModel,
        single: FinishedModel | None,
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
        models: Mapping[str, FinishedModel],
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
        rows = predictions_of(run)
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
        means = {MEAN: np.mean(step_aucs, axis=0)}
        if self.schema.conditional_names:
            conditional_aucs = [aucs[f"auc/{name}"] for name in self.schema.conditional_names]
            means[CONDITIONAL_MEAN] = np.mean(conditional_aucs, axis=0)
        return {**aucs, **means}

    def _ranked(self, rows: Arrays) -> dict[str, RankedRows]:
        """The test rows ranked by each probability, by metric."""
        log_p = log_sigmoid(rows["logits"])
        depth = rows["depth"]
        known = (depth, rows.get("unknown"), rows["weight"], log_p.shape[1])
        weight = weights_of_steps(*known)
        of_conditionals = weights_of_steps(*known, of_conditionals=True)
        ranked = {}
        for i, name in enumerate(self.schema.step_names):
            ranked[f"auc/{name}"] = RankedRows(
                log_p[:, i],
                depth > i,
                weight[:, i],
            )
        for i, name in enumerate(self.schema.conditional_names, start=1):
            log_ratio = log_p[:, i] - log_p[:, i - 1]
            log_conditional = np.minimum(log_ratio, 0.0)
            ranked[f"auc/{name}"] = RankedRows(
                log_conditional,
                depth > i,
                of_conditionals[:, i],
                depth >= i,
            )
        return ranked
