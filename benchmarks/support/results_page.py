"""The sections of docs/results.md: all figures of a comparison, and what is drawn of them."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from matplotlib import pyplot

from benchmarks.support.cells import Funnel, step_mean
from benchmarks.support.figures import save
from tafe_tf.comparison.means import MEAN
from tafe_tf.comparison.tables import markdown


def section(run: pathlib.Path, out: pathlib.Path) -> str:
    """Makes the page's section of one comparison, and writes its figures to `out`."""
    funnel = Funnel.read(run)
    figures = {"AUC by model": forest(funnel, out / f"{funnel.name}.svg")}
    has_conditional = len(funnel.schema.tasks) > 1
    if has_conditional and any(_has_truth(model) for model in funnel.models.values()):
        path = out / f"{funnel.name}_bias.svg"
        figures["predicted / true CVR by model"] = bias(funnel, path)
    shown = [f"![{text}]({path.name})\n" for text, path in figures.items()]
    named = dataclasses.replace(funnel.schema, name=funnel.name)  # two may have one schema
    return "\n".join([f"## {funnel.name}\n", *shown, markdown(funnel.results, named)])


def _has_truth(model: dict[str, Any]) -> bool:
    return any(metric.startswith("truth_ratio") for metric in model["metrics"])


def forest(funnel: Funnel, path: pathlib.Path) -> pathlib.Path:
    """Draws each model's mean AUC over the steps with its 95 % interval."""
    models = dict(reversed(funnel.models.items()))
    figure, axes = pyplot.subplots(figsize=_size(len(models)))
    for y, (name, model) in enumerate(models.items()):
        color = "tab:red" if name.startswith("tafe") else "tab:blue"
        axes.plot(model["interval"][MEAN], [y, y], color=color, linewidth=2)
        mean = step_mean(funnel, model)
        if mean is not None:
            axes.plot([mean], [y], "o", color="black", markersize=3)
    axes.set_yticks(range(len(models)), list(models))
    axes.set_xlabel("AUC, mean over tasks; 95 % interval over test rows and seeds")
    return save(figure, path)


def bias(funnel: Funnel, path: pathlib.Path) -> pathlib.Path:
    """Draws predicted / true conversion rates, over all rows and over those never clicked."""
    name = funnel.schema.conditional_names[0]
    models = dict(reversed(funnel.models.items()))
    figure, axes = pyplot.subplots(figsize=_size(len(models)))
    for metric, mark, text in (
        (f"truth_ratio/{name}", "o", "all rows"),
        (f"truth_ratio/{name}_unreached", "x", "rows never clicked"),
    ):
        values = [model["metrics"][metric]["mean"] for model in models.values()]
        axes.plot(values, range(len(models)), mark, label=text)
    axes.axvline(1.0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(models)), list(models))
    axes.set_xlabel(f"predicted / true {name}")
    axes.legend(fontsize=8)
    return save(figure, path)


def _size(lines: int) -> tuple[float, float]:
    """Width and height in inches of a figure with a line for each model."""
    return 6.5, 0.28 * lines + 0.8
