"""Metrics as tables for a terminal."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.metric_headings import HEADINGS, TRUTH_HEADINGS
from tafe_tf.schema import Schema

Metrics = Mapping[str, Any]

Interval = Sequence[float] | None  # two ends

PIPE_WIDTH = 120  # characters a line where the output is no terminal


def metrics_table(
    metrics: Metrics,
    schema: Schema,
    title: str,
) -> Table:
    """Makes the table of ranking and calibration, one row for each probability.

    Args:
        metrics: What `Evaluator.evaluate` returns.
        schema: The schema that the model was trained with.
        title: Text in front of the number of rows.
    """
    rows = f"{metrics['rows']:,} rows"
    if schema.conditional_names:
        violations = share(metrics["violation_rate"])
        rows += f", {violations} with a later step above an earlier one"
    without_group = metrics.get("rows_without_group", 0)
    if without_group:
        rows += f", {without_group:,} without a {schema.group}, which grouped AUC leaves out"
    names = [*schema.step_names, *schema.conditional_names]
    if _has_amounts(metrics, schema):
        names += schema.amount_names
    return _table(f"{title}: {rows}", metrics, HEADINGS, names)


def _has_amounts(metrics: Metrics, schema: Schema) -> bool:
    """Whether amounts were measured; boosted trees predict none."""
    return any(f"gini/{name}" in metrics for name in schema.amount_names)


def decile_table(metrics: Metrics, schema: Schema) -> Table:
    """Makes the table of predicted and observed amounts, one row for each decile of the predicted.

    Args:
        metrics: What `Evaluator.evaluate` returns.
        schema: A schema with an amount.
    """
    name = schema.amount_names[-1]
    title = f"{name}: deciles of the predictions, the smallest first"
    table = Table(title=title, title_justify="left")
    for heading in ("decile", "mean predicted", "mean observed", "predicted / observed"):
        table.add_column(heading, justify="right")
    for i in itertools.count(1):
        if f"decile_{i}_predicted/{name}" not in metrics:
            break
        predicted = metrics[f"decile_{i}_predicted/{name}"]
        observed = metrics[f"decile_{i}_observed/{name}"]
        ratio = predicted / observed if predicted is not None and observed else None
        table.add_row(str(i), number(predicted), number(observed), number(ratio))
    return table


def truth_table(
    metrics: Metrics,
    schema: Schema,
    title: str,
) -> Table:
    """Makes the table of learned against true probabilities, for data whose truth is known.

    Args:
        metrics: What `Evaluator.evaluate` returns.
        schema: A schema whose tasks all have a column `truth`.
        title: Text above the table.
    """
    unreached = [f"{name}_unreached" for name in schema.conditional_names]
    names = [*schema.step_names, *schema.conditional_names, *unreached]
    return _table(title, metrics, TRUTH_HEADINGS, names)


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
        before: The metrics of the first model.
        after: The metrics of the second model.
        schema: The schema of both.
        title: Text above the table.
        metrics: Which metrics to show, such as "auc".
        headings: What the first and the second model are called.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("probability")
    first, second = headings
    for metric in metrics:
        table.add_column(f"{HEADINGS[metric]}: {first}", justify="right")
        table.add_column(second, justify="right")
    for name in (*schema.step_names, *schema.conditional_names):
        cells = []
        for metric in metrics:
            key = f"{metric}/{name}"
            cells.append(number(before[key], digits=5))
            cells.append(number(after[key], digits=5))
        table.add_row(name, *cells)
    return table


def print_metrics(
    metrics: Metrics,
    schema: Schema,
    title: str,
) -> None:
    """Prints the metrics, and the deciles of the amount and the truth where the schema has them.

    Args:
        metrics: What `Evaluator.evaluate` returns.
        schema: The schema that the model was trained with.
        title: Text above the first table.
    """
    show(metrics_table(metrics, schema, title))
    if _has_amounts(metrics, schema):
        show(decile_table(metrics, schema))
    if all(task.truth for task in schema.tasks):
        show(truth_table(metrics, schema, "learned and true probabilities"))


def print_dropped(bad_rows: BadRows) -> None:
    """Prints what was noted about the files, and how many rows were dropped, for each reason."""
    for line in bad_rows.report():
        print(line)
    if bad_rows.count:
        used = bad_rows.seen - bad_rows.count
        print(f"{bad_rows.seen:,} rows were read: {used:,} used and {bad_rows.count:,} dropped")


def show(table: Table, file: TextIO | None = None) -> None:
    """Prints a table as wide as the terminal, or `PIPE_WIDTH` characters wide without one.

    Args:
        table: What to print.
        file: Where to print. Default: None, the standard output.
    """
    is_terminal = (file or sys.stdout).isatty()
    width = None if is_terminal else PIPE_WIDTH
    Console(width=width, file=file).print(table)


def number(value: float | None, digits: int = 4) -> str:
    """Writes a number with so many decimal places; "-" for a metric that is undefined."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}f}"


def with_interval(value: float | None, ends: Interval, digits: int = 3) -> str:
    """Writes a number with its interval behind it, where there is one."""
    if ends is None:
        return number(value)
    low, high = ends
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def share(value: float | None) -> str:
    """Writes a share as a percentage with two decimal places; "-" if it is undefined."""
    if value is None:
        return "-"
    return f"{value:.2%}"


def spoken(probability: str) -> str:
    """Writes a probability's name for a reader: "cvr_unreached" becomes "cvr, unreached"."""
    return probability.replace("_unreached", ", unreached")


def _table(
    title: str,
    metrics: Metrics,
    columns: Mapping[str, str],
    names: list[str],
) -> Table:
    """One row for each of `names`, and those of `columns` that any of them has a metric for."""
    shown = []
    for kind in columns:
        if any(f"{kind}/{name}" in metrics for name in names):
            shown.append(kind)
    table = Table(title=title, title_justify="left")
    table.add_column("probability")
    for kind in shown:
        table.add_column(columns[kind], justify="right")
    for name in names:
        values = [metrics.get(f"{kind}/{name}") for kind in shown]
        table.add_row(spoken(name), *map(number, values))
    return table


def print_unknown(statistics: Mapping[str, Any]) -> None:
    """Prints how many training rows do not know each task's label, and what no row tells of.

    Args:
        statistics: Of the rows, see `vocabulary.publish`.
    """
    rows = statistics["rows"]
    for task, unknown in statistics.get("unknown_labels", {}).items():
        if unknown:
            print(f"task {task}: unknown in {unknown:,} of {rows:,} training rows", flush=True)
    for task in statistics.get("untold", []):
        print(
            f"warning: task {task!r}: no training row that may have come so far knows its label, "
            "so that its probabilities mean nothing",
            flush=True,
        )
    amount = statistics.get("amount")
    if amount is not None and not amount["rows"]:
        print(
            "warning: no training row knows an amount, so that predicted amounts mean nothing",
            flush=True,
        )
