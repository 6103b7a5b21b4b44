"""The paper's figures as charts with their plain reading, and as SVG files."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tafe_tf.data.atomic import write_text
from tafe_tf.insight.figures.daily import SHARE, DailyLift
from tafe_tf.insight.figures.selector import (
    Selection,
    by_rate,
    plane,
    reading,
    smooth_steps,
)
from tafe_tf.insight.page.parts import Axis, Chart, Dots, Series, Table
from tafe_tf.insight.page.svg import svg_file
from tafe_tf.layers import GammaSchedule

Figures = dict[str, Chart | Dots]
_BUCKETS = 40
_BLOCKS = 6  # shown in one chart, at most


def figure_5(gamma: GammaSchedule) -> Figures:
    """The function f_D at steps of the run."""
    z, curves = smooth_steps(gamma)
    series = [Series(name=name, x=z.tolist(), y=values.tolist()) for name, values in curves.items()]
    about = (
        "What the selector makes of its MLP's output: 0 is closed, 1 is open. Gamma shrinks with "
        "each step, so that the curve becomes a step and a unit is either open or closed. If the "
        "curve of this model is still wide, training has ended long before gamma has."
    )
    chart = Chart(
        title="Figure 5: f_D at steps of the run",
        x=Axis(label="MLP(H)"),
        y=Axis(label="f_D", low=0.0, high=1.0),
        series=series,
        about=about,
    )
    return {"figure_5": chart}


def figure_7a(selection: Selection) -> Figures:
    """The distribution of the selection rate, and of the mean of z, over rows, by block."""
    rate_about = (
        "The selection rate of a row is the share of units whose z is not 0. The paper's rows open "
        "55 to 60 % of them. If all rows are at 100 %, gamma is still too wide to close a unit; if "
        "all are at one place, the selector treats rows alike."
    )
    mean_about = (
        "The mean of z tells rows apart also where no unit is fully closed. A narrow peak means "
        "that all rows are treated alike."
    )
    return {
        "figure_7a": _distribution(
            "Figure 7a: selection rate of the test rows",
            "selection rate",
            selection.rates,
            rate_about,
        ),
        "figure_7a_mean": _distribution(
            "How far the test rows open the units",
            "mean of z",
            selection.openings,
            mean_about,
        ),
    }


def _distribution(title: str, label: str, values: np.ndarray, about: str) -> Chart:
    series = []
    edges = np.linspace(0.0, 1.0, _BUCKETS + 1)
    for block in range(min(values.shape[1], _BLOCKS)):
        counts, _ = np.histogram(values[:, block], edges)
        shares = counts / max(len(values), 1)
        series.append(
            Series(
                name=f"block {block + 1}",
                x=edges[:-1].tolist(),
                y=shares.tolist(),
                drawn="steps",
            )
        )
    return Chart(
        title=title,
        x=Axis(label=label, low=0.0, high=1.0, percent=True),
        y=Axis(label="share of the rows", low=0.0, percent=True),
        series=series,
        about=about,
    )


def figure_7b(selection: Selection) -> Figures:
    """The embeddings of rows with high, middle and low selection rates, block by block."""
    if len(selection.embeddings) < 3:
        return {}
    places, shown = plane(selection.embeddings)
    figures: Figures = {}
    for block in range(min(selection.rates.shape[1], _BLOCKS)):
        series = []
        for name, rows in by_rate(selection, block).items():
            series.append(
                Series(
                    name=name,
                    x=places[rows, 0].tolist(),
                    y=places[rows, 1].tolist(),
                    drawn="points",
                )
            )
        about = (
            "The embeddings H of the 1 % of rows with the highest, the middle and the lowest "
            f"selection rate in block {block + 1}, in the plane of their two largest principal "
            f"components, which shows {shown:.0%} of the variance. Where the three lie apart, the "
            "selector answers to what a row is; where they lie mixed, it does not."
        )
        figures[f"figure_7b_block_{block + 1}"] = Chart(
            title=f"Figure 7b: rows by selection rate, block {block + 1}",
            x=Axis(label="first component"),
            y=Axis(label="second component"),
            series=series,
            about=about,
        )
    return figures


def readings(selection: Selection, gamma: float) -> Table:
    """Whether each block's selector is hard, differs between rows, and has collapsed."""
    rows = []
    for block in range(selection.rates.shape[1]):
        said = reading(selection, block)
        rates = selection.rates[:, block]
        rows.append(
            [
                f"block {block + 1}",
                said.hardness,
                said.difference,
                said.collapse,
                f"{rates.mean():.1%} ± {rates.std():.1%}",
            ]
        )
    header = ["selector", "is it hard?", "does it differ?", "has it collapsed?", "selection rate"]
    about = (
        f"Of the test rows, at gamma = {gamma:.4g}. The rate is the mean over rows ± its spread."
    )
    return Table(caption="What the selectors do", header=header, rows=rows, about=about)


def figure_9(
    lifts: Sequence[DailyLift],
    output: str,
    new: str,
    other: str,
    share: float = SHARE,
) -> Figures:
    """The lift of one model over another by day."""
    about = (
        f"Of each day's rows each model takes the {share:.0%} with its highest {output}; the lift "
        f"is how many more outcomes the rows of {new} had than those of {other}. Intervals are "
        "95 %, by drawing the day's rows anew. The log's rows were shown whatever either model "
        "says, so that this is no online test: it assumes that an outcome does not depend on who "
        "chose the row."
    )
    ends = [one.interval or (None, None) for one in lifts]
    chart = Dots(
        title=f"Figure 9: lift in {output} by day",
        axis=Axis(label=f"outcomes of {new} beside {other}", percent=True),
        names=[one.day for one in lifts],
        values=[one.lift for one in lifts],
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
        level=(0.0, "no difference"),
        about=about,
    )
    return {f"figure_9_{output}": chart}


def write_figures(folder: str | pathlib.Path, figures: Mapping[str, Chart | Dots]) -> list[str]:
    """Writes each figure as an SVG file.

    Args:
        folder: Where; it is made if it is not there.
        figures: By name.

    Returns:
        The files' names.

    Raises:
        OSError: If a file cannot be written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, chart in figures.items():
        path = folder / f"{name}.svg"
        write_text(path, svg_file(chart))
        names.append(path.name)
    return names
