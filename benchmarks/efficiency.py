"""Measures Figure 8 of the paper for every model: time of an epoch, time of inference, and size.

    python -m benchmarks.efficiency OUT [--models="single_task shared_bottom mmoe ple aitm tafe"]

Each model trains and answers in processes of its own (`train_speed`, `infer_speed`), in alternating
rounds. The epoch has Ali-CCP's 38 million training rows. Writes OUT/efficiency.md and
OUT/efficiency.svg, and prints a table and a line of JSON: rows/s, minutes an epoch, microseconds a
row, and MiB.
"""

from __future__ import annotations

import functools
import pathlib
import sys

from absl import app, flags
from matplotlib import pyplot

from benchmarks.support import rounds
from benchmarks.support.figures import save
from tafe_tf.data.atomic import write_text
from tafe_tf.terminal import command

_MODELS = flags.DEFINE_spaceseplist(
    "models",
    "single_task shared_bottom mmoe ple aitm tafe",
    "The models to measure, separated by spaces: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments "
    "of its constructor.",
)

EPOCH_ROWS = 38_000_000
BARS = {
    "epoch_minutes": "an epoch, min",
    "infer_us": "inference, us a row",
    "weights_mib": "weights, MiB",
}
TITLE = """# Efficiency

Figure 8 of the paper for every model: the time of an epoch of Ali-CCP's 38 million training rows,
the speed of inference, the size of the weights and the memory that training takes. The rows are
invented, with Ali-CCP's 23 fields and 1.4 million ids. The command is, on two cores:

```
python -m benchmarks.efficiency docs
```

![Time of an epoch, time of inference and size of the weights, a bar for each model](efficiency.svg)

"""
# Figure -> its column's title, and how it is written.
COLUMNS = {
    "train_sps": ("training, rows/s", "{:,.0f}"),
    "epoch_minutes": ("an epoch, min", "{:.0f}"),
    "infer_sps": ("inference, rows/s", "{:,.0f}"),
    "weights_mib": ("weights, MiB", "{:.1f}"),
    "peak_rss_mib": ("peak memory of training, MiB", "{:,.0f}"),
}

Medians = dict[str, dict[str, float]]  # by model and figure


def measure(spec: str) -> rounds.Figures:
    """Measures one model once, in new processes."""
    training = _ask("train_speed", spec)
    serving = _ask("infer_speed", spec)
    return {
        "train_sps": training["train_sps"],
        "epoch_minutes": EPOCH_ROWS / training["train_sps"] / 60,
        "infer_sps": serving["infer_sps_1024"],
        "infer_us": 1e6 / serving["infer_sps_1024"],
        "weights_mib": training["weights_mib"],
        "peak_rss_mib": training["peak_rss_mib"],
    }


def _ask(benchmark: str, spec: str) -> dict[str, float]:
    """The figures of another benchmark for one model."""
    module = [sys.executable, "-m", f"benchmarks.{benchmark}"]
    arguments = [f"--models={spec}", "--rounds=1", f"--seconds={rounds.SECONDS.value}"]
    spreads = rounds.ask([*module, *arguments])[spec]
    return {figure: spread["median"] for figure, spread in spreads.items()}


def table(medians: Medians) -> str:
    """The figures as a table in Markdown."""
    titles = [title for title, _ in COLUMNS.values()]
    lines = [f"| model | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for spec, figures in medians.items():
        cells = [form.format(figures[name]) for name, (_, form) in COLUMNS.items()]
        lines.append(f"| {spec} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(medians: Medians, path: pathlib.Path) -> None:
    """Draws the three parts of Figure 8 as bars."""
    models = list(medians)
    figure, axes = pyplot.subplots(1, len(BARS), figsize=(10, 2.8), sharey=True)
    for axis, (name, title) in zip(axes, BARS.items(), strict=True):
        lengths = [medians[model][name] for model in models]
        axis.barh(models, lengths, color="#4c72b0")
        axis.set_title(title, fontsize=10)
    axes[0].invert_yaxis()  # of all three, which share it
    save(figure, path)


def main(argv: list[str]) -> None:
    """Measures all models in alternating rounds, and writes the medians."""
    if len(argv) != 2:
        raise app.UsageError("say where to write: python -m benchmarks.efficiency OUT")
    out = pathlib.Path(argv[1])
    out.mkdir(parents=True, exist_ok=True)
    ways = {spec: functools.partial(measure, spec) for spec in _MODELS.value}
    seen = rounds.run(ways, {})
    medians: Medians = {}
    for spec, figures in seen.items():
        medians[spec] = {name: rounds.Spread.of(values).median for name, values in figures.items()}
    write_text(out / "efficiency.md", TITLE + table(medians))
    plot(medians, out / "efficiency.svg")
    rounds.show(seen, "efficiency")


if __name__ == "__main__":
    command.run(main)
