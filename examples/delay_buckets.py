"""Purchases that take up to a month, as a funnel of delays: click > 30 days > 7 days > 1 day.

    python examples/delay_buckets.py --work_dir=runs/delay_buckets

Invents a log of two months whose true probabilities are known, with the purchases that had happened
by its end. Each window is a step of its own, which is learned from the rows that are old enough for
it: P(bought within a day) knows what was bought yesterday, while P(bought within 30 days) rests on
rows of a month ago. Whoever bought within a day bought within a week, so the windows are a funnel:
no probability is above that of a longer window, and the conditionals say how fast people buy. It
takes a minute on two cores.

A label in buckets of delay, each of which is learned from mature rows alone, is the idea of
Badanidiyuru et al., "Handling many conversions per click in modeling delayed feedback" (arXiv
2101.02284). There the buckets are parts of a count, which are added up.
"""

from __future__ import annotations

import pathlib

import numpy as np
from absl import app, flags, logging

import tafe_tf
from tafe_tf.data.public.synthetic import SyntheticFunnel

DAY = 86_400  # seconds
LOG_DAYS = 60
END = 1_767_225_600 + LOG_DAYS * DAY  # seconds since 1970
WINDOWS = (30, 7, 1)  # days, from the first step after the click to the last
STEPS = ("click", *(f"buy_{days}d" for days in WINDOWS))
RATES = (0.25, 0.1, 0.06, 0.03)

Columns = dict[str, np.ndarray]

_WORK_DIR = flags.DEFINE_string("work_dir", "", "Directory for the two runs; must be given.")
_ROWS = flags.DEFINE_integer("rows", 200_000, "Number of impressions.", lower_bound=1000)


def impressions(rows: int, stream: int) -> Columns:
    """Rows with the labels that the log shows at its end.

    Args:
        rows: number of rows.
        stream: 0 for the rows to learn from, 1 for those to judge by.
    """
    funnel = SyntheticFunnel(STEPS, RATES, fields=4, values=10)
    columns = funnel.chunk(stream, number=0, rows=rows)
    rng = np.random.default_rng([stream, 1])
    age = rng.uniform(0.0, LOG_DAYS, rows)  # days
    delay = delays(columns, rng)
    for step, days in zip(STEPS[1:], WINDOWS, strict=True):
        is_logged = delay <= np.minimum(days, age)
        columns[step] = is_logged.astype(np.int64)
    columns["time"] = (END - age * DAY).astype(np.int64)
    return columns


def delays(columns: Columns, rng: np.random.Generator) -> np.ndarray:
    """Draws how many days after its impression each purchase comes; infinity for none.

    Args:
        columns: what happens within each window in the end.
        rng: draws where in the shortest window a purchase falls.
    """
    delay = np.full(len(columns["click"]), np.inf)
    for i, days in enumerate(WINDOWS):
        shorter = (*WINDOWS, 0)[i + 1]
        drawn = rng.uniform(shorter, days, len(delay))
        bought = columns[STEPS[i + 1]] == 1
        delay[bought] = drawn[bought]  # a shorter window comes later, and wins
    return delay


def schema(is_naive: bool) -> dict[str, object]:
    """The log's columns.

    Args:
        is_naive: whether to take all labels as they stand.
    """
    tasks: list[dict[str, str]] = [{"name": "click"}]
    for step, days in zip(STEPS[1:], WINDOWS, strict=True):
        task = {"name": step}
        if not is_naive:
            task["matures_after"] = f"{days}d"
        tasks.append(task)
    fields = [
        {"name": f"field_{i}", "kind": "vocabulary", "dtype": "int64" if i % 2 else "string"}
        for i in range(4)
    ]
    return {"name": "shop", "time": "time", "tasks": tasks, "features": fields}


def run(work_dir: pathlib.Path, rows: int) -> dict[str, tuple[float, float]]:
    """Trains twice, and prints the sums of predictions over those of the true probabilities.

    Args:
        work_dir: where the runs go.
        rows: number of impressions to learn from.

    Returns:
        By step, the quotient for labels as they stand and the one for labels that mature.
    """
    logged = impressions(rows, stream=0)
    judged = impressions(50_000, stream=1)
    inputs = {f"field_{i}": judged[f"field_{i}"] for i in range(4)}
    quotients = []
    for name in ("as_they_stand", "mature"):
        print(f"== Train on labels: {name.replace('_', ' ')}")
        trained = tafe_tf.fit(
            schema(is_naive=name == "as_they_stand"),
            train=logged,
            run_dir=work_dir / name,
            epochs=3,
            learning_rate_decay="linear",
            verbose=name == "mature",
        )
        served = trained.predict(inputs)
        quotients.append([served[f"p_{s}"].sum() / judged[f"true_{s}"].sum() for s in STEPS])
    known = trained.history[-1]
    print("predicted / true, on rows whose truth is known")
    print(f"  {'step':10} {'as they stand':>14} {'mature':>8} {'validation rows that know it':>30}")
    found = {}
    for step, naive, mature in zip(STEPS, *quotients, strict=True):
        found[step] = (float(naive), float(mature))
        print(f"  {step:10} {naive:14.3f} {mature:8.3f} {known[f'rows/p_{step}']:30,}")
    return found


def main(argv: list[str]) -> None:
    """Runs the example."""
    if len(argv) > 1 or not _WORK_DIR.value:
        raise app.UsageError("--work_dir must be given, and nothing but flags")
    logging.set_verbosity(logging.WARNING)
    run(pathlib.Path(_WORK_DIR.value), _ROWS.value)


if __name__ == "__main__":
    app.run(main)
