"""Metrics as tables that a person likes to read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.schema import Schema

Metrics = Mapping[str, Any]
_COLUMNS = {
    "auc": "AUC",
    "gauc": "grouped AUC",
    "log_loss": "log loss",
    "pcoc": "predicted / observed",
    "ece": "calibration error",
}
_TRUTH_COLUMNS = {
    "truth_auc": "AUC",
    "truth_auc_best": "of the truth itself",
    "truth_ratio": "predicted / true",
    "truth_mae": "mean abs. error",
}


def metrics_table(metrics: Metrics, schema: Schema, title: str) -> Table:
    """Quality by probability: ranking and calibration."""
    rows = f"{metrics['rows']:,} rows, {_percent(metrics['violation_rate'])} with a later step above an earlier one"
    return _table(
        f"{title}: {rows}", metrics, _COLUMNS, [*schema.step_names, *schema.conditional_names]
    )


def truth_table(metrics: Metrics, schema: Schema, title: str) -> Table:
    """What was learned beside what was true; for data whose probabilities are known."""
    unreached = [f"{name}_unreached" for name in schema.conditional_names]
    return _table(
        title, metrics, _TRUTH_COLUMNS, [*schema.step_names, *schema.conditional_names, *unreached]
    )


def before_after_table(
    before: Metrics,
    after: Metrics,
    schema: Schema,
    title: str,
    *,
    metrics: Sequence[str],
    headings: tuple[str, str],
) -> Table:
    """Makes the table of two models' metrics on the same rows, one row for each probability.

    Args:
        before: the metrics of the first model.
        after: the metrics of the second model.
        schema: the schema of both.
        title: text above the table.
        metrics: which metrics to show, such as "auc".
        headings: what the first and the second model are called.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("probability")
    for metric in metrics:
        table.add_column(f"{_COLUMNS[metric]}: {headings[0]}", justify="right")
        table.add_column(headings[1], justify="right")
    for name in (*schema.step_names, *schema.conditional_names):
        cells = []
        for metric in metrics:
            for values in (before, after):
                value = values[f"{metric}/{name}"]
                cells.append("-" if value is None else f"{value:.5f}")
        table.add_row(name, *cells)
    return table


def print_metrics(metrics: Metrics, schema: Schema, title: str) -> None:
    """Prints the tables that the metrics allow."""
    show(metrics_table(metrics, schema, title))
    if all(task.truth for task in schema.tasks):
        show(truth_table(metrics, schema, "learned beside true"))


def print_dropped(bad_rows: BadRows) -> None:
    """Prints what was dropped and why, a line each; nothing where nothing was."""
    for line in bad_rows.report():
        print(line)


def show(table: Table) -> None:
    """Prints a table, 120 characters wide where the output is no terminal."""
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _table(title: str, metrics: Metrics, columns: dict[str, str], names: list[str]) -> Table:
    shown = {
        key: text
        for key, text in columns.items()
        if any(f"{key}/{name}" in metrics for name in names)
    }
    table = Table(title=title, title_justify="left")
    table.add_column("probability")
    for text in shown.values():
        table.add_column(text, justify="right")
    for name in names:
        table.add_row(
            name.replace("_unreached", ", unreached"),
            *(_cell(metrics, f"{key}/{name}") for key in shown),
        )
    return table


def _cell(metrics: Metrics, key: str) -> str:
    value = metrics.get(key)
    return "-" if value is None else f"{value:.4f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"
