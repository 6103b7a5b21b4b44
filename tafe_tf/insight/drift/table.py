"""Drift for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from tafe_tf.insight.drift.compare import Drift, Part, Statistic
from tafe_tf.terminal.tables import number, share, show

# Short headings, and what stands below: a statistic's value, or its share in training.
_FIELDS = (
    ("missing", "missing", False),
    ("in training", "missing", True),
    ("unseen", "unseen", False),
    ("in training", "unseen", True),
    ("L-inf", "l_infinity", False),
    ("JS, bits", "jensen_shannon", False),
    ("lengths", "lengths", False),
)
_SHARES = ("missing", "unseen")


def print_drift(drift: Drift, title: str) -> None:
    """Prints a row for each field and for each output, and a line for each drift.

    Args:
        drift: What was found.
        title: Text above the table.
    """
    counted = f"{title}: {drift.rows:,} rows beside {drift.training_rows:,} of training"
    table = Table(title=counted, title_justify="left")
    known = {name for part in drift.fields for name in part.statistics}
    columns = [column for column in _FIELDS if column[1] in known]
    table.add_column("field", no_wrap=True)
    for name, _, is_before in columns:
        table.add_column(name, justify="right", style="dim" if is_before else None)
    for heading in ("independent rows", "drift"):
        table.add_column(heading, justify="right")
    for part in drift.fields:
        table.add_row(part.name, *_cells(part, columns))
    show(table)
    if drift.outputs:
        show(_scores(drift.outputs))
    for line in sentences(drift):
        print(line)


def _cells(part: Part, columns: Sequence[tuple[str, str, bool]]) -> Iterator[str]:
    for _, name, is_before in columns:
        one = part.statistics.get(name)
        if one is None:
            yield ""
        elif name in _SHARES:
            yield share(one.before if is_before else one.value)
        else:
            yield number(one.value)
    yield f"{part.independent:,.0f}"
    yield "yes" if any(one.is_drift for one in part.statistics.values()) else ""


def _scores(outputs: Sequence[Part]) -> Table:
    table = Table(title="scores", title_justify="left")
    table.add_column("output")
    for heading in ("PSI", "by chance up to", "independent rows", "drift"):
        table.add_column(heading, justify="right")
    for part in outputs:
        one = part.statistics["psi"]
        cells = [number(one.value), number(one.noise), f"{part.independent:,.0f}"]
        table.add_row(part.name, *cells, "yes" if one.is_drift else "")
    return table


def sentences(drift: Drift) -> list[str]:
    """What is to be said below the tables: each drift, or that there is none."""
    if not drift.found:
        return ["no drift beyond the thresholds and what so few rows show by chance"]
    return [f"drift: {_sentence(one)}" for one in drift.found]


def _sentence(one: Statistic) -> str:
    if one.name in _SHARES:
        what = f"{share(one.value)} {one.name}, {share(one.before)} in training"
        return f"field {one.of!r}: {what} (limit of the difference: {share(one.limit)})"
    subject = "output" if one.name == "psi" else "field"
    names = {
        "l_infinity": "L-infinity distance",
        "jensen_shannon": "Jensen-Shannon divergence",
        "lengths": "L-infinity distance of the lengths",
        "psi": "population stability index",
    }
    note = f"; {one.note}" if one.note else ""
    limit = number(one.limit)
    return f"{subject} {one.of!r}: {names[one.name]} {number(one.value)} (limit {limit}){note}"
