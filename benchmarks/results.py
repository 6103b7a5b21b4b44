"""Writes docs/results.md and its figures from finished comparisons.

    python -m tafe_tf.compare --flagfile=flagfiles/steam.flags --data_dir=DIR --run_dir=runs/compare/steam \\
      --published=flagfiles/peers/steam.toml --seeds=5 --models=...
    python -m benchmarks.results docs runs/compare/steam

Each run directory's section is written anew, those of other data sets stay as they are. `docs/results_notes.md`,
written by hand, says what follows from the figures and comes first.
"""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

from absl import app
from matplotlib import pyplot

from benchmarks.support.figures import save
from tafe_tf import schema, schema_toml
from tafe_tf.comparison.statistics import MEAN
from tafe_tf.comparison.tables import markdown


def main(argv: list[str]) -> None:
    """Writes the page."""
    if len(argv) < 3:
        raise app.UsageError("give the folder to write to and the run directories of comparisons")
    out, runs = pathlib.Path(argv[1]), [pathlib.Path(path) for path in argv[2:]]
    out.mkdir(exist_ok=True)
    notes, page = (out / "results_notes.md").read_text(encoding="utf-8"), out / "results.md"
    sections = _sections(page.read_text(encoding="utf-8")) if page.exists() else {}
    by_hand = _sections(notes)
    sections = {title: text for title, text in sections.items() if title not in by_hand}
    sections |= {run.name: section(run, out) for run in runs}
    page.write_text("\n".join([notes, *sections.values()]), encoding="utf-8")
    print(f"{page}: {', '.join(run.name for run in runs)}")


def section(run: pathlib.Path, out: pathlib.Path) -> str:
    """What the page says of one comparison; writes its figures to `out`."""
    results = json.loads((run / "compare.json").read_text(encoding="utf-8"))
    dataset = schema_toml.load(run / "prepared" / "schema.toml")
    figures = {"AUC by model": forest(results, out / f"{run.name}.svg")}
    if any(
        key.startswith("truth_ratio")
        for model in results["models"].values()
        for key in model["metrics"]
    ):
        figures["predicted / true CVR by model"] = bias(
            results, dataset, out / f"{run.name}_bias.svg"
        )
    shown = [f"![{text}]({path.name})\n" for text, path in figures.items()]
    return "\n".join([f"## {run.name}\n", *shown, markdown(results, dataset)])


def _sections(page: str) -> dict[str, str]:
    """The page's sections by title, without what stands before the first."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def forest(results: dict[str, Any], path: pathlib.Path) -> pathlib.Path:
    """Mean AUC over the tasks with its 95 % interval, a line a model."""
    models = {name: model["interval"][MEAN] for name, model in reversed(results["models"].items())}
    middles = {name: sum(interval) / 2 for name, interval in models.items()}
    figure, axes = pyplot.subplots(figsize=(6.5, 0.28 * len(models) + 0.8))
    for y, (name, (low, high)) in enumerate(models.items()):
        axes.plot(
            [low, high],
            [y, y],
            color="tab:red" if name.startswith("tafe") else "tab:blue",
            linewidth=2,
        )
        axes.plot([middles[name]], [y], "o", color="black", markersize=3)
    axes.set_yticks(range(len(models)), list(models))
    axes.set_xlabel("AUC, mean over tasks; 95 % interval over test rows and seeds")
    return save(figure, path)


def bias(results: dict[str, Any], dataset: schema.Schema, path: pathlib.Path) -> pathlib.Path:
    """Predicted / true conversion rate given a click, over all rows and over those never clicked."""
    name = dataset.conditional_names[0]
    figure, axes = pyplot.subplots(figsize=(6.5, 0.28 * len(results["models"]) + 0.8))
    models = list(reversed(results["models"].items()))
    for shown, mark, text in (
        (name, "o", "all rows"),
        (f"{name}_unreached", "x", "rows never clicked"),
    ):
        values = [model["metrics"][f"truth_ratio/{shown}"]["mean"] for _, model in models]
        axes.plot(values, range(len(models)), mark, label=text)
    axes.axvline(1.0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(models)), [model for model, _ in models])
    axes.set_xlabel(f"predicted / true {name}")
    axes.legend(fontsize=8)
    return save(figure, path)


if __name__ == "__main__":
    app.run(main)
