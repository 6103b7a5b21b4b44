"""Measures what values get that training did not see: a tenth of a field's values is left out.

    python -m benchmarks.unseen_values --flagfile=flagfiles/steam.flags --data_dir=DIR \
        --run_dir=runs/unseen --field=game [--shares=0,0.01] [--seeds=3]

Takes the flags of `tafe train`. Trains once for each seed and each `--unseen_share` on the training
rows of the other values, and evaluates the test rows of both kinds. Prints a line of Markdown for
each share and kind: the mean AUC over the steps, the sum of their log losses, predicted over
observed of each, and the differences of the first two from the first share; means over the seeds,
and intervals of 95 % over test rows, or groups of them, and seeds.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pandas as pd
from absl import flags

import tafe_tf.flags as job_flags
from tafe_tf import schema_toml
from tafe_tf.data.hashing import of_texts
from tafe_tf.metrics import log_sigmoid
from tafe_tf.metrics.bootstrap import RankedRows, interval, over_seeds, resamples
from tafe_tf.schema import Schema
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import as_rows

flags.adopt_module_key_flags(job_flags)
_FIELD = flags.DEFINE_string("field", None, "The column of which values are left out.")
_LEFT_OUT = flags.DEFINE_float("left_out", 0.1, "Share of its values, drawn by a hash.", 0.0, 1.0)
_SHARES = flags.DEFINE_list("shares", ["0", "0.01"], "Values of --unseen_share.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.", 1)
REPLICATES = 400
flags.mark_flag_as_required("field")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """Predictions of some test rows.

    Attributes:
        logits: Of each seed, row and step, [S, n, N].
        labels: 0 or 1, [n, N].
        group: Hashes of the rows' groups, [n]; None if there are none.
    """

    logits: np.ndarray
    labels: np.ndarray
    group: np.ndarray | None

    def take(self, which: np.ndarray) -> Slice:
        """Some of the rows, by a mask [n]."""
        return Slice(
            logits=self.logits[:, which],
            labels=self.labels[which],
            group=None if self.group is None else self.group[which],
        )

    def line(self, first: Slice) -> str:
        """Its figures as cells of a table, and its differences from the first share's."""
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


def main(argv: list[str]) -> None:
    """Trains, evaluates and prints."""
    command.only_flags(argv)
    job_flags.required_with_rows(run_dir=job_flags.RUN_DIR.value)
    schema = schema_toml.load(job_flags.schema_file())
    files = job_flags.sources().find()
    train, test = (_rows(list(files[name])) for name in ("train", "test"))
    is_new = _is_left_out(test)
    is_known = ~_is_left_out(train)
    print(
        f"{_FIELD.value}: {len(train) - is_known.sum():,} of {len(train):,} training rows left "
        f"out; {is_new.sum():,} of {len(test):,} test rows are of such values",
        flush=True,
    )
    steps = " | ".join(f"{name}, predicted / observed" for name in schema.step_names)
    print(f"| --unseen_share | rows | mean AUC | log losses | {steps} | AUC, diff. | loss, diff. |")
    print("|---" * (6 + len(schema.step_names)) + "|", flush=True)
    kinds = {"left out": is_new, "the others": ~is_new}
    first: dict[str, Slice] = {}
    for share in map(float, _SHARES.value):
        predicted = _predictions(schema, train[is_known], test, share)
        for name, which in kinds.items():
            part = predicted.take(which)
            line = part.line(first.setdefault(name, part))
            print(f"| {share:g} | {name} | {line} |", flush=True)


def _rows(files: list[str]) -> pd.DataFrame:
    parts = [pd.read_csv(file, dtype={_FIELD.value: str}, keep_default_na=False) for file in files]
    return pd.concat(parts, ignore_index=True)


def _is_left_out(rows: pd.DataFrame) -> np.ndarray:
    """Whether the field's value is one of those that training does not see, [n]."""
    hashes = of_texts(rows[_FIELD.value].to_numpy(object))
    return np.asarray(hashes < np.uint64(_LEFT_OUT.value * 2.0**53))


def _predictions(
    schema: Schema,
    train: pd.DataFrame,
    test: pd.DataFrame,
    share: float,
) -> Slice:
    """Trains with every seed, and predicts the test rows."""
    data = DataConfig(
        schema=schema,
        train=as_rows(train, "train", schema),
        test=as_rows(test, "test", schema),
    )
    logits = []
    for seed in range(_SEEDS.value):
        training = dataclasses.replace(
            job_flags.training_config(),
            seed=seed,
            unseen_share=share,
            save_predictions=True,
        )
        run_dir = pathlib.Path(job_flags.RUN_DIR.value) / f"share-{share:g}-seed-{seed}"
        run = fit(
            data,
            run_dir,
            model=job_flags.model_config(),
            training=training,
            verbose=False,
        )
        with np.load(run.path / "predictions.npz") as saved:
            logits.append(saved["logits"])
            depth = saved["depth"]
            group = saved.get("group")
    return Slice(
        logits=np.stack(logits),
        labels=depth[:, None] > np.arange(len(schema.tasks)),
        group=group,
    )


if __name__ == "__main__":
    command.run(main)
