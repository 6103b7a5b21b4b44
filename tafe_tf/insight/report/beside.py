"""Sections of several runs, and of a run and the one before it."""

from __future__ import annotations

from collections.abc import Sequence

from tafe_tf.insight.figures.charts import Figures, figure_9
from tafe_tf.insight.page.parts import (
    MOST_SERIES,
    Axis,
    Cell,
    Chart,
    Dots,
    Part,
    Section,
    Series,
    Table,
    Text,
)
from tafe_tf.insight.report.pairs import Difference, are_same_rows, differences, lifts_by_day
from tafe_tf.insight.report.seen import Seen, whole_of
from tafe_tf.metric_headings import HEADINGS
from tafe_tf.metrics import Metrics
from tafe_tf.schema import Schema

_KINDS = ("auc", "log_loss", "pcoc")


def side_by_side(all_seen: Sequence[Seen]) -> Section:
    """The runs of a page: metrics, differences to the first one, and their epochs."""
    first = all_seen[0]
    parts: list[Part] = [_metrics({one.name: one.metrics for one in all_seen}, first.schema)]
    notes = []
    found: dict[str, list[Difference]] = {}
    for one in all_seen[1:]:
        why_not = _not_paired(first, one)
        if why_not:
            notes.append(f"{one.name}: {why_not}")
            continue
        assert first.rows is not None, "rows are there"
        assert one.rows is not None, "rows are there"
        found[one.name] = differences(first.rows, one.rows, first.schema)
    parts += _difference_parts(found, first.name)
    if notes:
        parts.append(Text(paragraphs=notes, is_note=True))
    parts.append(_epochs(all_seen))
    return Section(
        title="Side by side",
        about=f"The other runs against {first.name}, on the same test rows.",
        parts=parts,
    )


def before_and_after(seen: Seen) -> Section | None:
    """The run beside the one that it was warm-started from; None if it started cold."""
    if not seen.before_name:
        return None
    title = "Beside the run before"
    if seen.before is None or seen.rows is None:
        noted = seen.file("previous_metrics.json")
        parts: list[Part] = []
        if noted:
            parts.append(_metrics({"before": noted, seen.name: seen.metrics}, seen.schema))
        parts.append(Text(paragraphs=[seen.before_name], is_note=True))
        return Section(title=title, parts=parts)
    before = whole_of(seen.before, seen.schema).metrics
    found = {seen.name: differences(seen.before, seen.rows, seen.schema)}
    metrics = {seen.before_name: before, seen.name: seen.metrics}
    return Section(
        title=title,
        about="Has today's model become better than yesterday's, on the same test rows?",
        parts=[_metrics(metrics, seen.schema), *_difference_parts(found, seen.before_name)],
    )


def by_day(seen: Seen, other: Seen | None) -> tuple[Section, Figures]:
    """Figure 9: this run's lift by day over another one, or over the run before it.

    Args:
        seen: The run, with days.
        other: The other run; None takes the run before.
    """
    title = "Day by day"
    rows = other.rows if other is not None else seen.before
    name = other.name if other is not None else seen.before_name
    if seen.days is None or seen.rows is None or rows is None:
        said = "Figure 9 needs a second run, or a run that was warm-started, on the same test rows."
        return Section(title=title, parts=[Text(paragraphs=[said], is_note=True)]), {}
    if not are_same_rows(seen.rows, rows):
        said = f"{name} has other test rows, so that its days cannot be compared."
        return Section(title=title, parts=[Text(paragraphs=[said], is_note=True)]), {}
    figures: Figures = {}
    lifts_of_steps = lifts_by_day(seen.days, seen.rows, rows, seen.schema)
    for step, lifts in lifts_of_steps.items():
        figures |= figure_9(lifts, step, seen.name, name)
    return Section(title=title, parts=list(figures.values())), figures


def _not_paired(first: Seen, other: Seen) -> str:
    """Why two runs cannot be compared row by row; empty if they can."""
    if other.rows is None or first.rows is None:
        return other.without_rows or first.without_rows
    if other.schema.step_names != first.schema.step_names:
        return "has other steps"
    if not are_same_rows(first.rows, other.rows):
        return "has other test rows, so that only its metrics stand beside the others"
    return ""


def _metrics(of_runs: dict[str, Metrics], schema: Schema) -> Table:
    names = [*schema.step_names, *schema.conditional_names]
    header = [""]
    for kind in _KINDS:
        header += [
            f"{HEADINGS[kind]} {name}" for name in names if _is_there(of_runs, f"{kind}/{name}")
        ]
    rows: list[list[Cell]] = []
    for run, metrics in of_runs.items():
        cells: list[Cell] = [run]
        for kind in _KINDS:
            keys = [f"{kind}/{name}" for name in names]
            cells += [_digits(metrics.get(key)) for key in keys if _is_there(of_runs, key)]
        rows.append(cells)
    return Table(caption="Metrics of the test rows", header=header, rows=rows)


def _is_there(of_runs: dict[str, Metrics], key: str) -> bool:
    return any(metrics.get(key) is not None for metrics in of_runs.values())


def _digits(value: float | None) -> Cell:
    return None if value is None else f"{value:.4f}"


def _difference_parts(found: dict[str, list[Difference]], base: str) -> list[Part]:
    if not found:
        return []
    names = []
    aucs: list[Difference] = []
    rows: list[list[Cell]] = []
    for run, of_run in found.items():
        for one in of_run:
            names.append(one.name if len(found) == 1 else f"{one.name}: {run}")
            aucs.append(one)
            auc = _signed(one.auc, one.auc_interval)
            rows.append([run, one.name, auc, _signed(one.log_loss, one.log_loss_interval)])
    table = Table(
        caption=f"Differences to {base}",
        header=["run", "output", "AUC [95 %]", "log loss [95 %]"],
        rows=rows,
        about=(
            "Paired: both models are measured on the same samples of the test rows. An interval "
            "that holds 0 may be chance. A larger AUC and a smaller log loss are better."
        ),
    )
    about = f"Right of 0 the AUC is larger than that of {base}; bars are 95 % intervals."
    charts: list[Part] = []
    for title, label, of_loss in (
        ("Difference of the AUC", "AUC", False),
        ("Difference of the log loss", "log loss", True),
    ):
        ends = [one.log_loss_interval if of_loss else one.auc_interval for one in aucs]
        charts.append(
            Dots(
                title=title,
                axis=Axis(label=f"{label} less that of {base}"),
                names=names,
                values=[one.log_loss if of_loss else one.auc for one in aucs],
                low=[pair[0] if pair else None for pair in ends],
                high=[pair[1] if pair else None for pair in ends],
                level=(0.0, "no difference"),
                about="Left of 0 the log loss is smaller, which is better." if of_loss else about,
            )
        )
    return [table, *charts]


def _signed(value: float | None, ends: tuple[float, float] | None) -> Cell:
    if value is None:
        return None
    if ends is None:
        return f"{value:+.4f}"
    return f"{value:+.4f} [{ends[0]:+.4f}, {ends[1]:+.4f}]"


def _epochs(all_seen: Sequence[Seen]) -> Chart:
    name = all_seen[0].schema.step_names[-1]
    series = []
    for one in all_seen[:MOST_SERIES]:
        entries = [entry for entry in one.history if entry.get(f"auc/{name}") is not None]
        x = [entry["epoch"] or 0 for entry in entries]
        y = [entry[f"auc/{name}"] for entry in entries]
        series.append(Series(name=one.name, x=x, y=y, drawn="marked"))
    return Chart(
        title=f"AUC of {name} by epoch, validation rows",
        x=Axis(label="epoch", whole=True),
        y=Axis(label=f"AUC {name}"),
        series=series,
        about="How fast each run learned, and where it stopped.",
    )
