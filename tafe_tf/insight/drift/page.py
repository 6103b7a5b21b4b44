"""Drift as a page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from tafe_tf.insight.drift.compare import Drift, Part, Statistic
from tafe_tf.insight.drift.table import sentences
from tafe_tf.insight.page import render
from tafe_tf.insight.page.parts import Axis, Cell, Chart, Dots, Section, Series, Table
from tafe_tf.terminal.tables import share

_MOST_DISTANCES = 25  # in the first chart
_MOST_FIELDS = 12  # whose values are shown
_MOST_VALUES = 15  # of a field
_NAMES = {
    "missing": "missing",
    "unseen": "unseen",
    "l_infinity": "L-infinity",
    "jensen_shannon": "Jensen-Shannon",
    "lengths": "lengths",
    "psi": "scores",
}


def write_page(path: str | os.PathLike[str], drift: Drift, title: str, made_by: str = "") -> None:
    """Writes a page of what was found.

    Args:
        path: Of the file, or its URI.
        drift: What was found.
        title: What was compared.
        made_by: The command that made it. Default: "", it is not told.

    Raises:
        MissingExtra: If the packages for pages are not installed.
        OSError: If the file cannot be written.
    """
    rows = f"{drift.rows:,} rows beside {drift.training_rows:,} rows of training."
    lead = [rows, *(line[0].upper() + line[1:] + "." for line in sentences(drift))]
    foot = [made_by] if made_by else []
    render.write(path, f"Drift: {title}", list(_sections(drift)), lead, foot)


def _sections(drift: Drift) -> Iterator[Section]:
    yield Section(
        title="Distances",
        about="How far each distribution is from that of the training rows, beside how far it may "
        "be: the threshold and what so few rows show by chance together.",
        parts=[_distances(drift), _fields(drift.fields)],
    )
    drifted = [part for part in drift.fields if _has_drift(part) and part.histogram]
    if drifted:
        yield Section(
            title="Values that moved",
            about="The fields with drift: how large a share of the values each value has.",
            parts=[_values(part) for part in drifted[:_MOST_FIELDS]],
        )
    if drift.outputs:
        yield Section(
            title="Scores",
            about="The shares of the scores between the deciles of held-out rows. Without drift "
            "each bar is as high as that of training.",
            parts=[_scores(part) for part in drift.outputs],
        )


def _has_drift(part: Part) -> bool:
    return any(one.is_drift for one in part.statistics.values())


def _distances(drift: Drift) -> Dots:
    judged: list[tuple[float, Statistic]] = []
    for part in (*drift.fields, *drift.outputs):
        for one in part.statistics.values():
            if one.limit:
                judged.append((one.distance / one.limit, one))
    judged.sort(key=lambda pair: -pair[0])
    shown = judged[:_MOST_DISTANCES]
    return Dots(
        title="Distance as a part of its limit",
        axis=Axis(label="distance / limit", low=0.0),
        names=[f"{one.of}: {_NAMES[one.name]}" for _, one in shown],
        values=[ratio for ratio, _ in shown],
        about="What lies right of the line is drift.",
        level=(1.0, "limit"),
    )


def _fields(parts: Sequence[Part]) -> Table:
    rows: list[list[Cell]] = []
    for part in parts:
        cells: list[Cell] = [part.name]
        for name in ("missing", "unseen"):
            one = part.statistics.get(name)
            cells += ["", ""] if one is None else [share(one.value), share(one.before)]
        for name in ("l_infinity", "jensen_shannon", "lengths"):
            one = part.statistics.get(name)
            cells.append("" if one is None else one.value)
        cells += [round(part.independent), "yes" if _has_drift(part) else "no"]
        rows.append(cells)
    return Table(
        caption="Fields",
        header=[
            *("field", "missing", "in training", "unseen", "in training", "L-infinity"),
            *("Jensen-Shannon", "lengths", "independent rows", "drift"),
        ],
        rows=rows,
    )


def _values(part: Part) -> Table:
    largest = sorted(part.histogram, key=lambda row: -abs(row[2] - row[1]))[:_MOST_VALUES]
    return Table(
        caption=part.name,
        header=["values", "in training", "here", "difference"],
        rows=[[name, share(a), share(b), f"{b - a:+.2%}"] for name, a, b in largest],
        about=f"The {len(largest)} that moved most of {len(part.histogram)}.",
    )


def _scores(part: Part) -> Chart:
    places = list(range(1, len(part.histogram) + 2))
    ends = [None]
    before = [first for _, first, _ in part.histogram]
    here = [second for _, _, second in part.histogram]
    index = part.statistics["psi"].value
    return Chart(
        title=part.name,
        x=Axis(label="tenth of the held-out scores, from the lowest", whole=True),
        y=Axis(label="share of the scores", low=0.0, percent=True),
        series=[
            Series(name="held-out rows", x=places, y=[*before, *ends], drawn="steps"),
            Series(name="these rows", x=places, y=[*here, *ends], drawn="steps"),
        ],
        about=f"Population stability index {index:.3g}.",
    )
