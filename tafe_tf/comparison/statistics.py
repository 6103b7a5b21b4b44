"""What a comparison's cells say: means, spread, intervals, paired tests and gains."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.comparison.bootstrap import RankedRows, interval, over_seeds, p_value, resamples
from tafe_tf.comparison.runs import Cell
from tafe_tf.metrics import log_sigmoid
from tafe_tf.schema import Schema

MEAN = "auc/mean"  # over the tasks, of the AUC over all impressions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """How to compare.

    Attributes:
        schema: the dataset.
        replicates: bootstrap samples.
        against: the model that the others are tested against; empty for the best one but TAFE and its variants.
        published: "source", a text, and metrics by model from there, to stand beside the own.
    """

    schema: Schema
    replicates: int = 400
    against: str = ""
    published: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def results(self, cells: Sequence[Cell], failed: Mapping[str, str]) -> dict[str, Any]:
        """All figures, ready for JSON.

        Args:
            cells: all of them; those that are not done are left out.
            failed: what went wrong, by cell.

        Raises:
            ValueError: if no cell is done, `against` is none of the models, or cells saw different test rows.
        """
        done = [cell for cell in cells if cell.is_done]
        if not done:
            raise ValueError(f"no cell has finished: {dict(failed)}")
        first = _predictions(done[0])
        models = {
            name: _Model(name, [c for c in done if c.spec.text == name]) for name in _names(done)
        }
        replicates = self._replicates(models, first)
        against = self.against or self._best_baseline(models)
        if against not in models:
            raise ValueError(f"--against must be one of {', '.join(models)}. Received: {against!r}")
        return {
            "dataset": self.schema.name,
            "test_rows": len(first["logits"]),
            "groups": len(np.unique(first["group"])) if "group" in first else None,
            "replicates": self.replicates,
            "against": against,
            "source": self.published.get("source", "published"),
            "failed": dict(failed),
            "models": {
                name: {
                    **model.summary(),
                    "interval": {
                        key: interval(over_seeds(aucs)) for key, aucs in replicates[name].items()
                    },
                    "gain": model.gains(
                        models.get("single_task"), [f"auc/{n}" for n in self.schema.step_names]
                    ),
                    "difference": None
                    if name == against
                    else self._difference(models, replicates, name, against),
                    "published": dict(self.published.get(name, {})),
                }
                for name, model in models.items()
            },
        }

    def _replicates(
        self, models: Mapping[str, _Model], first: dict[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        """AUCs [S, R] by model and metric."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for name, model in models.items():
            seeds = [self._aucs(cell, first) for cell in model.cells]
            found[name] = {key: np.stack([aucs[key] for aucs in seeds]) for key in seeds[0]}
        return found

    def _aucs(self, cell: Cell, first: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """AUCs [R] by metric; each cell sees the same samples."""
        rows = _predictions(cell)
        if not np.array_equal(rows["depth"], first["depth"]):
            raise ValueError(f"{cell.path}: was tested on other rows than the first cell")
        ranked = self._ranked(rows)
        samples = resamples(len(rows["logits"]), rows.get("group"), self.replicates)
        parts = [{key: each.aucs(counts) for key, each in ranked.items()} for counts in samples]
        aucs = {key: np.concatenate([part[key] for part in parts]) for key in ranked}
        return {
            **aucs,
            MEAN: np.mean([aucs[f"auc/{name}"] for name in self.schema.step_names], axis=0),
        }

    def _ranked(self, rows: dict[str, np.ndarray]) -> dict[str, RankedRows]:
        log_p, depth, weight = log_sigmoid(rows["logits"]), rows["depth"], rows["weight"]
        ranked = {
            f"auc/{name}": RankedRows(log_p[:, i], depth > i, weight)
            for i, name in enumerate(self.schema.step_names)
        }
        for i, name in enumerate(self.schema.conditional_names, start=1):
            given = np.minimum(log_p[:, i] - log_p[:, i - 1], 0.0)
            ranked[f"auc/{name}"] = RankedRows(given, depth > i, weight, depth >= i)
        return ranked

    def _difference(
        self,
        models: Mapping[str, _Model],
        replicates: Mapping[str, Mapping[str, np.ndarray]],
        name: str,
        against: str,
    ) -> dict[str, Any]:
        """Paired by seed and test rows, on the mean over tasks: the seeds that both have; empty where undefined."""
        own, base = ([cell.seed for cell in models[n].cells] for n in (name, against))
        seeds = [seed for seed in own if seed in base]
        if not seeds:
            return {}
        mine, theirs = [own.index(seed) for seed in seeds], [base.index(seed) for seed in seeds]
        difference = (
            self._step_aucs(models[name])[mine] - self._step_aucs(models[against])[theirs]
        ).mean()
        if not np.isfinite(difference):
            return {}
        drawn = over_seeds(replicates[name][MEAN][mine] - replicates[against][MEAN][theirs])
        return {
            "mean": float(difference),
            "interval": interval(drawn),
            "p": p_value(drawn),
            "seeds": seeds,
        }

    def _step_aucs(self, model: _Model) -> np.ndarray:
        """AUCs over all impressions by seed and step, [S, N]; NaN where one is undefined."""
        return np.array(
            [[m.get(f"auc/{n}") for n in self.schema.step_names] for m in model.metrics], np.float64
        )

    def _best_baseline(self, models: Mapping[str, _Model]) -> str:
        names = [name for name in models if name.split("/")[0] != "tafe"] or list(models)
        means = {name: np.nan_to_num(self._step_aucs(models[name])).mean() for name in names}
        return max(means, key=lambda name: means[name])


class _Model:
    """The finished cells of one model, by seed."""

    def __init__(self, name: str, cells: Sequence[Cell]) -> None:
        self.name, self.cells = name, cells
        self.metrics = [
            json.loads((cell.path / "metrics.json").read_text(encoding="utf-8")) for cell in cells
        ]

    def values(self, key: str) -> list[float]:
        return [m[key] for m in self.metrics if m.get(key) is not None]

    def mean(self, key: str) -> float | None:
        values = self.values(key)
        return statistics.fmean(values) if values else None

    def gains(self, single: _Model | None, keys: Sequence[str]) -> dict[str, float]:
        """(AUC - AUC of single_task) / AUC of single_task, as in the paper's Table 2."""
        if single is None:
            return {}
        pairs = {key: (self.mean(key), single.mean(key)) for key in keys}
        return {key: own / base - 1.0 for key, (own, base) in pairs.items() if own and base}

    def summary(self) -> dict[str, Any]:
        metrics = {}
        for key in self.metrics[0]:
            if values := self.values(key):
                deviation = statistics.stdev(values) if len(values) > 1 else None
                metrics[key] = {"mean": statistics.fmean(values), "sd": deviation, "values": values}
        parameters = self.metrics[0]["parameters"]
        return {
            "seeds": [cell.seed for cell in self.cells],
            "parameters": parameters,
            "mib": parameters * 4 / 2**20,
            "train_rows_per_second": statistics.median(map(_training_speed, self.cells)),
            "test_rows_per_second": statistics.median(
                m["rows"] / m["seconds"] for m in self.metrics
            ),
            "metrics": metrics,
        }


def _predictions(cell: Cell) -> dict[str, np.ndarray]:
    with np.load(cell.path / "predictions.npz") as arrays:
        return dict(arrays)


def _names(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.spec.text for cell in cells))


def _training_speed(cell: Cell) -> float:
    """Rows/s of training, without the first epoch if there are more: it compiles."""
    history = json.loads((cell.path / "history.json").read_text(encoding="utf-8"))
    epochs = history[1:] or history
    return float(
        statistics.median(epoch["train_rows"] / epoch["train_seconds"] for epoch in epochs)
    )
