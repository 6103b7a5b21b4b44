"""What becomes of a funnel whose last labels come late, where truth and delays are known.

    python -m benchmarks.late_labels
    python -m benchmarks.late_labels --log_days=8
    python -m benchmarks.late_labels --law=mixture

For each seed one log is drawn and trained on four ways: with the labels that it will have in the
end, with its labels as they stand, without those that have not matured, and with a loss that is
corrected for delays. Each run's P(conversion) is judged on other rows, by its sum over the true
one's and by its AUC on final labels. "drawn" is that sum of the log's own final labels, over their
true probabilities: what chance has made of it, which no way of training can know. Prints a line of
JSON for each seed and at last the means.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import numpy as np
from absl import flags
from pyarrow import parquet
from sklearn.metrics import roc_auc_score

import tafe_tf
from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.schema import Schema
from tafe_tf.terminal import command

WINDOW_DAYS = 7
TEST_ROWS = 200_000
WAYS = ("final", "as they stand", "matures_after", "delay_loss")
_SHARE_OF_FAST = 0.5  # of the mixture
_FAST_DAYS, _SLOW_DAYS = 0.1, 4.0

_ROWS = flags.DEFINE_integer("rows", 300_000, "Number of rows of each log.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, from 0.")
_LOG_DAYS = flags.DEFINE_integer("log_days", 14, "How many days each log is long.")
_DELAY_DAYS = flags.DEFINE_float("delay_days", 2.0, "Mean delay in days, with --law=exponential.")
_LAW = flags.DEFINE_enum(
    "law",
    "exponential",
    ["exponential", "mixture"],
    "mixture: half of the delays have a mean of 0.1 days and half one of 4, which the loss does "
    "not take into account.",
)
_INTERCEPT_ROWS = flags.DEFINE_integer(
    "intercept_rows", 1 << 20, "As in training; 0 shows what the loss alone has learned."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture(DelayLaw):
    """Fast and slow conversions, each with an exponential law that is cut off at the window."""

    mean_days: float = _SLOW_DAYS

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws the times of rows, and whether each would show a last step."""
        is_fast = rng.random(rows) < _SHARE_OF_FAST
        same_window = {"window_days": self.window_days, "log_days": self.log_days}
        slow = DelayLaw(mean_days=_SLOW_DAYS, **same_window)
        fast = DelayLaw(mean_days=_FAST_DAYS, **same_window)
        seed = rng.integers(1 << 32)  # so that both draw the same times
        times, shows_slow = slow.draw(np.random.default_rng(seed), rows)
        _, shows_fast = fast.draw(np.random.default_rng(seed), rows)
        return times, np.where(is_fast, shows_fast, shows_slow)


def law() -> DelayLaw:
    """The delays that are asked for."""
    if _LAW.value == "mixture":
        return Mixture(window_days=WINDOW_DAYS, log_days=_LOG_DAYS.value)
    return DelayLaw(
        mean_days=_DELAY_DAYS.value,
        window_days=WINDOW_DAYS,
        log_days=_LOG_DAYS.value,
    )


def schema_of(funnel: SyntheticFunnel, way: str) -> Schema:
    """The funnel's schema, with the labels that a way of training reads."""
    schema = funnel.schema()
    *earlier, last = schema.tasks
    if way == "final":
        last = dataclasses.replace(last, column=f"final_{last.name}", matures_after="")
    if way == "as they stand":
        last = dataclasses.replace(last, matures_after="")
    return dataclasses.replace(schema, tasks=(*earlier, last))


def of_seed(seed: int, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Trains four ways on the log of a seed.

    Args:
        seed: Of effects, rows and training.
        folder: Where the log and the runs go.

    Returns:
        By way, the sum of P(conversion) over the true one's and its AUC, and the sum of "drawn".
    """
    funnel = SyntheticFunnel(seed=seed, delay=law())
    path = folder / "train.parquet"
    funnel.write(path, _ROWS.value, stream=0)
    rows = funnel.chunk(stream=1, number=0, rows=TEST_ROWS)
    inputs = {f"field_{i}": rows[f"field_{i}"] for i in range(funnel.fields)}
    found = {"drawn": {"sum": drawn(path)}}
    for way in WAYS:
        run = tafe_tf.fit(
            schema_of(funnel, way),
            train=str(path),
            run_dir=folder / way.replace(" ", "_"),
            epochs=3,
            batch_size=512,
            learning_rate_decay="linear",
            seed=seed,
            intercept_rows=_INTERCEPT_ROWS.value,
            delay_loss="exponential" if way == "delay_loss" else "none",
            verbose=way == "delay_loss",
        )
        served = run.predict(inputs)["ctcvr"].astype(np.float64)
        found[way] = {
            "sum": round(float(served.sum() / rows["true_conversion"].sum()), 4),
            "auc": round(float(roc_auc_score(rows["final_conversion"], served)), 4),
        }
    return found


def drawn(path: pathlib.Path) -> float:
    """The sum of a log's final labels over their true probabilities."""
    table = parquet.read_table(path, columns=["final_conversion", "true_conversion"])
    happened = table["final_conversion"].to_numpy().sum()
    return round(float(happened / table["true_conversion"].to_numpy().sum()), 4)


def main(argv: list[str]) -> None:
    """Trains, and prints what came of it."""
    command.only_flags(argv)
    of_seeds: list[dict[str, dict[str, float]]] = []
    for seed in range(_SEEDS.value):
        with tempfile.TemporaryDirectory() as folder:
            found = of_seed(seed, pathlib.Path(folder))
        print(json.dumps({"seed": seed, **found}), flush=True)
        of_seeds.append(found)
    means: dict[str, Any] = {}
    for way, figures in of_seeds[0].items():
        means[way] = {}
        for name in figures:
            values = [found[way][name] for found in of_seeds]
            means[way][name] = round(float(np.mean(values)), 4)
    print(json.dumps({"seeds": _SEEDS.value, "law": _LAW.value, **means}))


if __name__ == "__main__":
    command.run(main)
