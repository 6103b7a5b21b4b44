"""Measures training on a share of the rows without the first step, beside training on all rows.

    python -m tafe_tf.generate --data_dir=DIR --rates=0.05,0.02
    python -m benchmarks.keep_negatives --flagfile=flagfiles/demo.flags --data_dir=DIR \
        --run_dir=runs/negatives --validate_steps=50 [--ways=1:4,0.1:4] [--seeds=3]

Takes the flags of `tafe train`; the rows' true probabilities must be known. A way is a value of
`--keep_negatives` and a number of epochs; the first must keep all rows. Prints a line of Markdown
for each: the mean and the standard deviation over the seeds of the expected test AUCs, of predicted
over true, and of the processor's seconds of training until the validation rows had the expected AUC
(the mean over the steps) that every seed of the first way had at its end, less `--within`.
Validation and the first call of steps, which compiles, do not count. Seconds of the processor say
much the same on a busy machine as on an idle one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from absl import flags

import tafe_tf.flags as job_flags
from tafe_tf import machine
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

flags.adopt_module_key_flags(job_flags)
_WAYS = flags.DEFINE_list("ways", ["1:4", "0.1:4"], "Pairs of share and epochs.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.", 1)

_WITHIN = flags.DEFINE_float("within", 0.0005, "How far an AUC may be below that of all rows.", 0.0)


class Clock(keras.callbacks.Callback):
    """Notes how many processor seconds of training came before each validation.

    Args:
        steps: The names of the steps' probabilities.

    Attributes:
        reached: Pairs of the seconds and of the expected AUC, the mean over the steps.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__()
        self._steps = steps
        self.reached: list[tuple[float, float]] = []
        self._seconds = 0.0
        self._since: float | None = None  # None between calls, and during the first

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Goes on, but for the first call."""
        has_compiled = batch > 0 or self.reached
        if has_compiled:
            self._since = time.process_time()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the call."""
        if self._since is not None:
            self._seconds += time.process_time() - self._since
            self._since = None

    def on_test_end(self, logs: Any = None) -> None:
        """Notes a validation within an epoch."""
        self._note(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes a validation after an epoch."""
        self._note(logs)

    def _note(self, logs: Any) -> None:
        aucs = [logs[f"val_truth_auc/{name}"] for name in self._steps]
        self.reached.append((self._seconds, float(np.mean(aucs))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What one run came to.

    Attributes:
        metrics: Of the test rows.
        reached: See `Clock`.
    """

    metrics: dict[str, Any]
    reached: list[tuple[float, float]]

    @property
    def last(self) -> float:
        """The expected AUC of the validation rows at the end."""
        _, auc = self.reached[-1]
        return auc

    def seconds_to(self, auc: float) -> float:
        """The processor's seconds until the validation rows had an AUC; NaN if they never had."""
        return next((seconds for seconds, reached in self.reached if reached >= auc), math.nan)


def main(argv: list[str]) -> None:
    """Trains in all ways and prints."""
    command.only_flags(argv)
    job_flags.required_with_rows(run_dir=job_flags.RUN_DIR.value)
    data = DataConfig.of_sources(job_flags.sources(), job_flags.SCHEMA.value)
    names = data.schema.step_names
    heads = []
    for name in names:
        heads += [f"AUC {name}", f"predicted / true {name}"]
    heads += ["validation AUC at the end", "seconds of training", "to the AUC"]
    print(f"| keep_negatives, epochs | {' | '.join(heads)} |")
    print("|---" * (1 + len(heads)) + "|", flush=True)
    target = math.nan
    for way in _WAYS.value:
        share, epochs = way.split(":")
        runs = [_trained(data, float(share), int(epochs), seed) for seed in range(_SEEDS.value)]
        if math.isnan(target):
            target = min(run.last for run in runs) - _WITHIN.value
        cells = []
        for name in names:
            cells.append(_cell([run.metrics[f"truth_auc/{name}"] for run in runs]))
            cells.append(_cell([run.metrics[f"truth_ratio/{name}"] for run in runs]))
        cells.append(_cell([run.last for run in runs]))
        cells.append(_cell([run.reached[-1][0] for run in runs], 1))
        cells.append(_cell([run.seconds_to(target) for run in runs], 1))
        print(f"| {share}, {epochs} | {' | '.join(cells)} |", flush=True)
    print(f"the AUC: {target:.4f}")


def _cell(values: Sequence[float], digits: int = 4) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def _trained(
    data: DataConfig,
    share: float,
    epochs: int,
    seed: int,
) -> Trained:
    """Trains once, or reads what an earlier call has trained."""
    run_dir = pathlib.Path(job_flags.RUN_DIR.value) / f"share-{share:g}-epochs-{epochs}-seed-{seed}"
    noted = run_dir.parent / f"{run_dir.name}.json"
    if noted.exists():
        return Trained(**json.loads(noted.read_text()))
    training = dataclasses.replace(
        job_flags.training_config(),
        keep_negatives=share,
        epochs=epochs,
        patience=1_000_000,
        seed=seed,
    )
    machine.set_threads(training.batch_size)
    clock = Clock(data.schema.step_names)
    run = fit(
        data,
        run_dir,
        model=job_flags.model_config(),
        training=training,
        callbacks=[clock],
        verbose=False,
    )
    trained = Trained(metrics=dict(run.metrics or {}), reached=clock.reached)
    noted.write_text(json.dumps(dataclasses.asdict(trained)))
    return trained


if __name__ == "__main__":
    command.run(main)
