"""Sections from a run's files alone: what it is, its epochs, its fields, its importance."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from tafe_tf.data.atomic import read_text
from tafe_tf.data.field_counts import KINDS, FieldCounts
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
from tafe_tf.insight.report.seen import Seen, is_current
from tafe_tf.metrics import Metrics
from tafe_tf.training import identity
from tafe_tf.training.noted_files import IMPORTANCE

_SHOWN_FIELDS = 25


def what_it_is(seen: Seen) -> Section:
    """The model, its data, when it was trained, and the settings that somebody chose."""
    schema = seen.schema
    statistics = seen.run.directory.statistics()
    description = _description(seen)
    history = seen.history
    last = history[-1] if history else {}
    seconds = _sum(history, "train_seconds")
    facts: list[list[Cell]] = [
        ["model", description.get("class_name", "-")],
        ["parameters", _count(seen.metrics.get("parameters") or _parameters(seen))],
        ["data set", schema.name],
        ["funnel", " → ".join(task.name for task in schema.tasks)],
        ["fields", _count(len(schema.fields))],
        ["training rows", _count(statistics.get("rows"))],
        ["test rows", _count(seen.metrics.get("rows"))],
        ["epochs", _count(last.get("epoch"))],
        ["minutes of training", f"{seconds / 60:.2f}"],
        ["training rows a second", _speed(history)],
        ["trained until", _when(seen)],
    ]
    flags = seen.run.path / "flags.txt"
    chosen = identity.chosen(read_text(flags)) if flags.exists() else []
    settings: list[list[Cell]] = [list(_name_and_value(line)) for line in chosen]
    parts: list[Part] = [Table(caption="The run", header=["fact", "value"], rows=facts)]
    if settings:
        about = "Settings that are not the defaults of this version, and where the rows are."
        table = Table(
            caption="What was chosen",
            header=["setting", "value"],
            rows=settings,
            about=about,
        )
        parts.append(table)
    return Section(title="What this run is", parts=parts)


def by_epoch(seen: Seen) -> Section:
    """AUC and loss of the validation rows by epoch, and the loss of the training rows."""
    schema = seen.schema
    history = [entry for entry in seen.history if "epoch" in entry]
    names = [*schema.step_names, *schema.conditional_names][:MOST_SERIES]
    if not history:
        return Section(title="Epochs", parts=[Text(paragraphs=["No epoch is noted."])])
    auc = _epochs(
        history,
        "AUC of the validation rows",
        "AUC",
        {name: f"auc/{name}" for name in names},
        "How well each probability ranks: 0.5 is by chance, 1 is perfect. The weights of the best "
        "epoch are kept. A line that falls at its end has learned too long.",
    )
    loss = _epochs(
        history,
        "Log loss of the validation rows",
        "log loss",
        {name: f"log_loss/{name}" for name in schema.step_names[:MOST_SERIES]},
        "Ranking and calibration together; the lower the better. If it rises while the training "
        "loss falls, the model learns its training rows by heart.",
    )
    training = _epochs(
        history,
        "Training loss",
        "loss",
        {"training": "train_loss"},
        "The mean of what training minimises, with all its terms.",
    )
    charts = [chart for chart in (auc, loss, training) if chart.series]
    return Section(title="Epochs", parts=charts)


def _epochs(
    history: list[Metrics],
    title: str,
    label: str,
    keys: Mapping[str, str],
    about: str,
) -> Chart:
    series = []
    for name, key in keys.items():
        entries = [entry for entry in history if entry.get(key) is not None]
        if entries:
            x = [entry["epoch"] or 0 for entry in entries]
            y = [entry[key] for entry in entries]
            series.append(Series(name=name, x=x, y=y, drawn="marked"))
    return Chart(
        title=title,
        x=Axis(label="epoch", whole=True),
        y=Axis(label=label),
        series=series,
        about=about,
    )


def fields(seen: Seen) -> Section:
    """The rows of each field's table, and the shares of missing and unseen values."""
    rows_of = _table_rows(seen)
    statistics = seen.run.directory.statistics()
    counts = FieldCounts.of_metrics(seen.metrics)
    here = counts.shares_of_all() if counts.fields else {kind: {} for kind in KINDS}
    all_rows = sum(rows_of.values())
    table: list[list[Cell]] = []
    for feature in seen.schema.counted_features:
        own = rows_of.get(feature.name)
        cells: list[Cell] = [feature.name, feature.kind, own, _percent(own, all_rows)]
        for kind in KINDS:
            cells.append(_share(here[kind].get(feature.name)))
            cells.append(_share(statistics.get(kind, {}).get(feature.name)))
        table.append(cells)
    table.sort(key=lambda row: -(row[2] if isinstance(row[2], int) else 0))
    header = ["field", "kind", "rows of its table", "of all rows"]
    for kind in KINDS:
        header += [f"{kind} in test", f"{kind} in training"]
    about = (
        "A value is unseen if its table has no row for it: the model then knows nothing of it. A "
        "share that is far larger in the test rows than in training says that the data has moved, "
        "or that a column is filled in differently."
    )
    parts: list[Part] = [Table(caption="Fields", header=header, rows=table, about=about)]
    for kind in KINDS:
        chart = _shares_chart(kind, here[kind])
        if chart is not None:
            parts.append(chart)
    return Section(title="Fields", parts=parts)


def _shares_chart(kind: str, shares: Mapping[str, float]) -> Dots | None:
    worst = sorted(shares.items(), key=lambda item: -item[1])
    worst = [item for item in worst if item[1] > 0][:_SHOWN_FIELDS]
    if not worst:
        return None
    return Dots(
        title=f"Share of {kind} values in the test rows",
        axis=Axis(label=f"{kind} values", low=0.0, percent=True),
        names=[name for name, _ in worst],
        values=[share for _, share in worst],
        about="The largest shares. Fields that are not here have none.",
    )


def importance(seen: Seen) -> Section | None:
    """What each field is worth, from `importance.json`; None if there is none of these weights."""
    noted = seen.file(IMPORTANCE)
    if noted is None or not is_current(seen.run, IMPORTANCE):
        return None
    parts: list[Part] = []
    outputs = list(dict.fromkeys(one["output"] for one in noted["fields"]))
    for output in outputs:
        of_output = [one for one in noted["fields"] if one["output"] == output]
        of_output.sort(key=lambda one: -(one["auc_drop"] or 0.0))
        shown = of_output[:_SHOWN_FIELDS]
        ends = [one.get("interval") or (None, None) for one in shown]
        parts.append(
            Dots(
                title=f"Importance for {output}",
                axis=Axis(label=f"fall of the AUC of {output}"),
                names=[one["field"] for one in shown],
                values=[one["auc_drop"] for one in shown],
                low=[low for low, _ in ends],
                high=[high for _, high in ends],
                level=(0.0, "no effect"),
            )
        )
    about = (
        "How much the AUC falls when a field's values are dealt to other rows at random. A field "
        "whose interval holds 0 may be left out. Of two fields that say the same, each looks "
        f"unimportant. Measured on {noted['rows']:,} rows, {noted['repeats']} times."
    )
    return Section(title="Importance of the fields", about=about, parts=parts)


def _description(seen: Seen) -> dict[str, Any]:
    path = seen.run.path / "model.json"
    return dict(json.loads(read_text(path))) if path.exists() else {}


def _table_rows(seen: Seen) -> dict[str, int]:
    """The rows of the embedding table that each field has, by its name."""
    rows = seen.run.features.rows
    names = [feature.name for feature in seen.schema.id_features]
    return {name: int(count) for name, count in zip(names, rows, strict=False)}


def _parameters(seen: Seen) -> int:
    return int(seen.run.model.count_params())


def _speed(history: list[Metrics]) -> Cell:
    seconds = _sum(history, "train_seconds")
    return _count(round(_sum(history, "train_rows") / seconds)) if seconds else None


def _sum(history: list[Metrics], key: str) -> float:
    return sum(entry.get(key) or 0.0 for entry in history)


def _count(value: float | None) -> Cell:
    return None if value is None else f"{value:,}"


def _when(seen: Seen) -> str:
    path = seen.run.path / "history.json"
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return f"{written:%Y-%m-%d %H:%M} UTC"


def _name_and_value(line: str) -> tuple[str, str]:
    text = line.removeprefix("# ").removeprefix("--")
    name, equals, value = text.partition("=")
    if not equals:
        is_negated = name.startswith("no")
        return (name.removeprefix("no"), "no") if is_negated else (name, "yes")
    return name, value


def _percent(part: int | None, whole: int) -> Cell:
    return f"{part / whole:.1%}" if part is not None and whole else None


def _share(value: float | None) -> Cell:
    return None if value is None else f"{value:.2%}"
