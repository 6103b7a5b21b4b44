"""Figure 8 of the paper for every model: time of an epoch, time of inference, weights and memory.

python -m benchmarks.efficiency OUT [--models="single_task shared_bottom mmoe ple aitm tafe"]

Each model trains and answers in processes of its own (`train_speed`, `infer_speed`), round after round. The epoch is of
Ali-CCP's 38 million training rows. Leaves OUT/efficiency.md and OUT/efficiency.svg.
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags
from matplotlib import pyplot

from benchmarks.support import rounds
from benchmarks.support.figures import save
from tafe_tf.data.atomic import write_text

_MODELS = flags.DEFINE_spaceseplist(
    "models", "single_task shared_bottom mmoe ple aitm tafe", "MODEL or MODEL/..."
)
EPOCH_ROWS = 38_000_000
COLUMNS = {
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
HEAD = "| model | training, rows/s | an epoch, min | inference, rows/s | weights, MiB | peak memory of training, MiB |"


def measured(spec: str) -> rounds.Measure:
    """Measures one model, each time in new processes."""

    def measure() -> rounds.Figures:
        training, serving = _ask("train_speed", spec), _ask("infer_speed", spec)
        return {
            "train_sps": training["train_sps"],
            "epoch_minutes": EPOCH_ROWS / training["train_sps"] / 60,
            "infer_sps": serving["infer_sps_1024"],
            "infer_us": 1e6 / serving["infer_sps_1024"],
            "weights_mib": training["weights_mib"],
            "peak_rss_mib": training["peak_rss_mib"],
        }

    return measure


def _ask(benchmark: str, spec: str) -> dict[str, float]:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", f"--models={spec}", "--rounds=1"]
    command.append(f"--seconds={rounds.SECONDS.value}")
    return {figure: spread["median"] for figure, spread in rounds.ask(command)[spec].items()}


def table(medians: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [HEAD, "|---" * 6 + "|"]
    for spec, f in medians.items():
        lines.append(
            f"| {spec} | {f['train_sps']:,.0f} | {f['epoch_minutes']:.0f} | {f['infer_sps']:,.0f} "
            f"| {f['weights_mib']:.1f} | {f['peak_rss_mib']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def plot(medians: dict[str, dict[str, float]], path: pathlib.Path) -> None:
    """Bars of the three things that Figure 8 shows."""
    figure, axes = pyplot.subplots(1, len(COLUMNS), figsize=(10, 2.8), sharey=True)
    for axis, (name, title) in zip(axes, COLUMNS.items(), strict=True):
        axis.barh(list(medians), [f[name] for f in medians.values()], color="#4c72b0")
        axis.set_title(title, fontsize=10)
    axes[0].invert_yaxis()  # the y axis is shared
    save(figure, path)


def main(argv: list[str]) -> None:
    """Rounds over all models; medians."""
    if len(argv) != 2:
        raise app.UsageError("say where to write: python -m benchmarks.efficiency OUT")
    out = pathlib.Path(argv[1])
    out.mkdir(parents=True, exist_ok=True)
    seen = rounds.run({spec: measured(spec) for spec in _MODELS.value}, {})
    medians = {
        way: {f: rounds.Spread.of(v).median for f, v in figures.items()}
        for way, figures in seen.items()
    }
    write_text(out / "efficiency.md", TITLE + table(medians))
    plot(medians, out / "efficiency.svg")
    rounds.show(seen, "efficiency")


if __name__ == "__main__":
    app.run(main)
