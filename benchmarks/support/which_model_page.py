"""The tables of docs/which_model.md: what each model reached on each funnel, and what it cost."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks.support.cells import (
    Cell,
    Funnel,
    calibration_cell,
    conditional_cell,
    conditional_error_cell,
    is_level,
    minutes_cell,
    speed_cell,
    step_cell,
    step_error_cell,
    step_mean,
)
from tafe_tf.comparison.tables import Rows, lines, short, truth
from tafe_tf.data.atomic import read_json


@dataclasses.dataclass(frozen=True)
class Runs:
    """The run directories of which the page is made, or their records.

    Attributes:
        without_a_flag: Comparisons of all models as they are given.
        tuned: Comparisons with searched settings.
        searches: The searches of these settings.
        options: Comparisons of TAFE with options of training.
        parts: Comparisons of TAFE with its ablations.
        sizes: Comparisons on one funnel, from few to many training rows.
    """

    without_a_flag: Sequence[pathlib.Path]
    tuned: Sequence[pathlib.Path] = ()
    searches: Sequence[pathlib.Path] = ()
    options: Sequence[pathlib.Path] = ()
    parts: Sequence[pathlib.Path] = ()
    sizes: Sequence[pathlib.Path] = ()


def which_model(runs: Runs) -> str:
    """Makes the tables of all comparisons, under their headings."""
    funnels = [without_variants_of_tafe(funnel) for funnel in read_all(runs.without_a_flag)]
    tuned = read_all(runs.tuned)
    options = read_all(runs.options)
    of_parts = read_all(runs.parts)
    sizes = read_all(runs.sizes)
    searches = {path.name: read_json(path / "tune.json") for path in runs.searches}
    made = [
        *without_a_flag(funnels),
        *with_searched_settings(tuned, searches),
        *with_options(options),
        *without_parts(of_parts),
        *by_size(sizes),
    ]
    return "\n".join(made)


def read_all(runs: Sequence[pathlib.Path]) -> list[Funnel]:
    """The finished comparisons of some run directories."""
    return [Funnel.read(run) for run in runs]


def without_variants_of_tafe(funnel: Funnel) -> Funnel:
    """A comparison without TAFE's ablations: they are no other choice, and on the page Results."""
    models = {}
    for name, model in funnel.models.items():
        if not name.startswith("tafe/"):
            models[name] = model
    return dataclasses.replace(funnel, results=funnel.results | {"models": models})


def section(title: str, rows: Rows) -> str:
    """A table under its heading."""
    return f"## {title}\n\n{lines(rows)}"


def without_a_flag(funnels: Sequence[Funnel]) -> list[str]:
    """The sections of what each model reached without a flag: a table for each question."""
    with_conditionals = [funnel for funnel in funnels if funnel.schema.conditional_names]
    return [
        section("The funnels", of_funnels(funnels)),
        section("The first choice", choices(funnels)),
        section("Mean AUC over the steps", by_model(funnels, step_cell)),
        section(
            "Mean AUC of the conditional probabilities",
            by_model(with_conditionals, conditional_cell),
        ),
        section("Minutes of training", by_model(funnels, minutes_cell)),
        section("Scored rows per second", by_model(funnels, speed_cell)),
    ]


def with_searched_settings(
    tuned: Sequence[Funnel],
    searches: dict[str, Any],
) -> list[str]:
    """The sections of what the models reach after searches with equal budgets.

    Args:
        tuned: The comparisons.
        searches: What `tafe_tf.tune` left, by the funnel's name.
    """
    if not tuned:
        return []
    return [
        section("With searched settings: the steps", by_model(tuned, step_cell)),
        section("With searched settings: the conditionals", by_model(tuned, conditional_cell)),
        section("What the searches chose", of_searches(searches)),
    ]


def of_searches(searches: dict[str, Any]) -> Rows:
    """The validation score of each model's settings as given and of the best trial, and those."""
    rows = [["funnel", "model", "trials", "as given", "best", "settings of the best"]]
    for funnel, models in searches.items():
        for model, found in models.items():
            (as_given,) = (trial for trial in found["trials"] if not trial["params"])
            settings = " ".join(map(_setting, found["best"].items()))
            rows.append(
                [
                    funnel,
                    model,
                    str(len(found["trials"]) - 1),
                    short(as_given["score"]),
                    short(found["score"]),
                    f"`{settings}`" if settings else "as given",
                ]
            )
    return rows


def _setting(item: tuple[str, Any]) -> str:
    """A flag with its value, of whose digits four are enough to read."""
    flag, value = item
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"--{flag}={shown}"


def with_options(options: Sequence[Funnel]) -> list[str]:
    """The sections of what options of training are worth to TAFE."""
    if not options:
        return []
    return [
        section("Options of training: the steps", by_model(options, step_cell)),
        section("Options of training: the conditionals", by_model(options, conditional_cell)),
    ]


def without_parts(of_parts: Sequence[Funnel]) -> list[str]:
    """The section of what TAFE's parts are worth; where the truth is known, a table beside it."""
    if not of_parts:
        return []
    steps, conditionals = by_model(of_parts, step_cell), by_model(of_parts, conditional_cell)
    found = [
        "## What TAFE's parts are worth\n",
        f"**mean AUC of the steps**\n\n{lines(steps)}",
        f"**mean AUC of the conditionals**\n\n{lines(conditionals)}",
    ]
    for funnel in of_parts:
        header, *of_models = beside_tafe(funnel)
        if of_models:
            rows_read = f"{funnel.statistics['rows']:,} training rows"
            found.append(f"**{funnel.name}, {rows_read}**\n\n{lines([header, *of_models])}")
    return found


def by_size(sizes: Sequence[Funnel]) -> list[str]:
    """The section of what each model makes of more rows of the same funnel."""
    if not sizes:
        return []
    tables = {
        "mean AUC of the steps": step_cell,
        "mean AUC of the conditionals": conditional_cell,
        "mean absolute error of the steps": step_error_cell,
        "mean absolute error of the conditionals": conditional_error_cell,
        "predicted / true of each probability": calibration_cell,
        "minutes of training": minutes_cell,
    }
    columns = []
    for funnel in sizes:
        rows = f"{funnel.statistics['rows']:,} rows"
        seeds = seeds_of(funnel)
        with_seeds = "1 seed" if seeds == 1 else f"{seeds} seeds"
        columns.append(f"{funnel.name}, {rows}, {with_seeds}")
    found = ["## By the number of training rows\n"]
    for title, cell in tables.items():
        _, *of_models = by_model(sizes, cell)
        if any("".join(cells) for _, *cells in of_models):  # else the truth is not known
            found.append(f"**{title}**\n\n{lines([['model', *columns], *of_models])}")
    return found


def beside_tafe(funnel: Funnel) -> Rows:
    """TAFE's AUCs, the others' differences to it, and how far each model is from the truth."""
    header, *of_models = truth(funnel.results, funnel.schema)
    steps, conditionals = "mean AUC of the steps", "mean AUC of the conditionals"
    rows = [["model", steps, conditionals, *header[1:], "minutes of training"]]
    for name, *from_truth in of_models:
        model = funnel.models[name]
        aucs = [step_cell(funnel, model), conditional_cell(funnel, model)]
        rows.append([name, *aucs, *from_truth, minutes_cell(funnel, model)])
    return rows


def of_funnels(funnels: Sequence[Funnel]) -> Rows:
    """What each funnel is: rows, fields and how rare its steps are; and the seeds of each model."""
    heads = (
        "training rows",
        "fields",
        "rows of the embedding table",
        "share that reaches a step",
        "seeds",
    )
    rows = [["funnel", *heads]]
    for funnel in funnels:
        rates = []
        for name, rate in funnel.statistics["rate"].items():
            rates.append(f"{name} {rate:.2%}")
        vocabularies = sum(funnel.statistics["vocabulary"].values())
        rows.append(
            [
                funnel.name,
                f"{funnel.statistics['rows']:,}",
                str(len(funnel.schema.features)),
                f"{vocabularies:,}",
                ", ".join(rates),
                str(seeds_of(funnel)),
            ]
        )
    return rows


def seeds_of(funnel: Funnel) -> int:
    """How many seeds each model of a funnel has; the fewest, if they differ."""
    return min(len(model["seeds"]) for model in funnel.models.values())


def choices(funnels: Sequence[Funnel]) -> Rows:
    """The best model of each funnel, and the quickest to train that is not below it."""
    rows = [["funnel", "highest mean AUC", "not below the best baseline", "quickest of these"]]
    for funnel in funnels:
        level = []
        for name, model in funnel.models.items():
            if is_level(model["difference"]):
                level.append(name)
        means = {name: step_mean(funnel, model) for name, model in funnel.models.items()}
        best = max(means, key=lambda name: means[name] or 0.0)
        quickest = min(level, key=lambda name: funnel.models[name]["training_minutes"])
        rows.append([funnel.name, best, ", ".join(level), quickest])
    return rows


def by_model(funnels: Sequence[Funnel], cell: Cell) -> Rows:
    """A line a model and a column a funnel."""
    names: dict[str, None] = {}
    for funnel in funnels:
        names.update(dict.fromkeys(funnel.models))
    rows = [["model", *(funnel.name for funnel in funnels)]]
    for name in names:
        row = [name]
        for funnel in funnels:
            model = funnel.models.get(name)
            row.append(cell(funnel, model) if model else "")
        rows.append(row)
    return rows
