"""Which model is better and by how much, paired by seed and test row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.comparison.finished import FinishedModel
from tafe_tf.metrics.bootstrap import interval, over_seeds, p_value

Replicates = Mapping[str, Mapping[str, np.ndarray]]  # AUCs [S, R] by model and metric


class Differences:
    """Tests of each model against one of them, by the mean of some AUCs.

    Args:
        models: The finished runs of each model, by its name.
        replicates: AUCs of bootstrap samples by model and metric, [S, R] each; S seeds, R samples.
        metrics: Names of the AUCs whose mean is compared, one or more.
        mean: Name of that mean in `replicates`.
        against: The model that the others are tested against; if empty, the best one by that mean
            that is not TAFE or a variant of it.

    Attributes:
        against: The name of the model that the others are tested against.

    Raises:
        ValueError: If `against` is none of the models.
    """

    def __init__(
        self,
        models: Mapping[str, FinishedModel],
        replicates: Replicates,
        metrics: Sequence[str],
        mean: str,
        against: str = "",
    ) -> None:
        self._models = models
        self._replicates = replicates
        self._metrics = metrics
        self._mean = mean
        self.against = against or self._best_baseline()
        if self.against not in models:
            names = ", ".join(models)
            raise ValueError(f"--against must be one of {names}. Received: {against!r}")

    def of(self, name: str) -> dict[str, Any] | None:
        """The difference of a model's mean to that of `against`, over the seeds that both have.

        Args:
            name: Of the model.

        Returns:
            Under "mean" the difference, under "interval" its 95 % bootstrap interval, under "p" its
            two-sided p-value, and the "seeds". None for `against` itself; an empty dictionary if
            the difference is undefined.
        """
        if name == self.against:
            return None
        own_seeds = self._models[name].seeds
        base_seeds = self._models[self.against].seeds
        seeds = [seed for seed in own_seeds if seed in base_seeds]
        if not seeds:
            return {}
        own = [own_seeds.index(seed) for seed in seeds]
        base = [base_seeds.index(seed) for seed in seeds]
        own_aucs = self._models[name].table(self._metrics)[own]
        base_aucs = self._models[self.against].table(self._metrics)[base]
        difference = (own_aucs - base_aucs).mean()
        if not np.isfinite(difference):
            return {}
        own_replicates = self._replicates[name][self._mean][own]
        base_replicates = self._replicates[self.against][self._mean][base]
        drawn = over_seeds(own_replicates - base_replicates)
        return {
            "mean": float(difference),
            "interval": interval(drawn),
            "p": p_value(drawn),
            "seeds": seeds,
        }

    def _best_baseline(self) -> str:
        """The model with the highest mean among those that are not TAFE, or among all."""
        baselines = []
        for name in self._models:
            family, _, _ = name.partition("/")
            if family != "tafe":
                baselines.append(name)
        means = {}
        for name in baselines or self._models:
            aucs = self._models[name].table(self._metrics)
            means[name] = np.nan_to_num(aucs).mean()
        return max(means, key=lambda name: means[name])
