"""The predictions of several seeds' runs on the same rows, with intervals over rows and seeds."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

import tafe_tf.flags as job_flags
from tafe_tf.metrics import log_sigmoid
from tafe_tf.metrics.bootstrap import RankedRows, interval, over_seeds, resamples
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

REPLICATES = 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeededRows:
    """Predictions of some test rows by runs of several seeds.

    Attributes:
        logits: Of each seed, row and step, [S, n, N].
        labels: 0 or 1, [n, N].
        group: Hashes of the rows' groups, [n]; None if there are none.
    """

    logits: np.ndarray
    labels: np.ndarray
    group: np.ndarray | None

    def take(self, which: np.ndarray) -> SeededRows:
        """Some of the rows, by a mask [n]."""
        return SeededRows(
            logits=self.logits[:, which],
            labels=self.labels[which],
            group=None if self.group is None else self.group[which],
        )

    def line(self, first: SeededRows) -> str:
        """Its figures as cells of a table, and its differences from those of other predictions."""
        auc, of_auc = self.auc()
        loss, of_loss = self.log_loss()
        cells = [_cell(auc, of_auc, 4), _cell(loss, of_loss, 3)]
        for step in range(self.labels.shape[1]):
            ratio, of_ratio = self._ratio(step)
            cells.append(_cell(ratio, of_ratio, 2))
        first_auc, of_first_auc = first.auc()
        first_loss, of_first_loss = first.log_loss()
        cells.append(_cell(auc - first_auc, of_auc - of_first_auc, 4))
        cells.append(_cell(loss - first_loss, of_loss - of_first_loss, 3))
        return " | ".join(cells)

    def auc(self) -> tuple[float, np.ndarray]:
        """The mean over seeds and steps, and the same in each replicate, [R]."""
        seeds, rows, steps = self.logits.shape
        once = np.ones((1, rows), np.float32)
        of_all = np.empty((seeds, steps))
        of_samples = np.empty((seeds, steps, REPLICATES))
        for seed in range(seeds):
            for step in range(steps):
                ranked = RankedRows(
                    self.logits[seed, :, step],
                    self.labels[:, step],
                    np.ones(rows, np.float32),
                )
                of_all[seed, step] = ranked.aucs(once)[0]
                parts = [ranked.aucs(counts) for counts in self._samples()]
                of_samples[seed, step] = np.concatenate(parts)
        return float(of_all.mean()), over_seeds(of_samples.mean(axis=1))

    def log_loss(self) -> tuple[float, np.ndarray]:
        """The mean over rows and seeds of the sum over steps, and the same in each replicate."""
        signed = np.where(self.labels, self.logits, -self.logits)
        of_rows = -log_sigmoid(signed).sum(axis=2)  # [S, n]
        return float(of_rows.mean()), over_seeds(self._means(of_rows))

    def _ratio(self, step: int) -> tuple[float, np.ndarray]:
        """Predicted over observed of a step, and the same in each replicate."""
        predicted = 1.0 / (1.0 + np.exp(-self.logits[:, :, step].astype(np.float64)))
        observed = self.labels[:, step].astype(np.float64)
        of_all = predicted.mean() / observed.mean()
        of_samples = self._means(predicted) / self._means(observed[None])
        return float(of_all), over_seeds(of_samples)

    def _means(self, values: np.ndarray) -> np.ndarray:
        """The means over the rows of values [S, n] in each replicate, [S, R]."""
        parts = []
        for counts in self._samples():
            sums = values @ counts.T
            parts.append(sums / counts.sum(axis=1))
        return np.concatenate(parts, axis=1)

    def _samples(self) -> list[np.ndarray]:
        """How often each row was drawn in each replicate, in parts [r, n]."""
        return list(resamples(len(self.labels), self.group, REPLICATES))


def _cell(value: float, of_samples: np.ndarray, digits: int) -> str:
    low, high = interval(of_samples) or (np.nan, np.nan)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def predicted_by_seeds(
    data: DataConfig,
    name: str,
    seeds: int,
    **changes: Any,
) -> SeededRows:
    """Trains as the flags of `tafe train` say with every seed, and predicts the test rows.

    Args:
        data: The rows.
        name: What the runs' directories below --run_dir begin with.
        seeds: How many seeds, from 0 on.
        **changes: Settings of training in place of the flags'.
    """
    logits = []
    for seed in range(seeds):
        training = dataclasses.replace(
            job_flags.training_config(),
            seed=seed,
            save_predictions=True,
            **changes,
        )
        run = fit(
            data,
            pathlib.Path(job_flags.RUN_DIR.value) / f"{name}-seed-{seed}",
            model=job_flags.model_config(),
            training=training,
            verbose=False,
        )
        with np.load(run.path / "predictions.npz") as saved:
            logits.append(saved["logits"])
            depth = saved["depth"]
            group = saved.get("group")
    return SeededRows(
        logits=np.stack(logits),
        labels=depth[:, None] > np.arange(len(data.schema.tasks)),
        group=group,
    )
