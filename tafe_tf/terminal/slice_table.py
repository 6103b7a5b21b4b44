"""The worst slices, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from tafe_tf.terminal.tables import Interval, number, share, with_interval


def slice_table(title: str) -> Table:
    """An empty table of slices; `add_slice` adds a row."""
    table = Table(title=title, title_justify="left")
    for heading in ("slice", "probability"):
        table.add_column(heading)
    for heading in ("rows", "AUC", "log loss", "predicted / observed", "ECE", "misplaced"):
        table.add_column(heading, justify="right")
    return table


def add_slice(
    table: Table,
    name: str,
    output: str,
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Interval],
    misplaced: float | None,
) -> None:
    """Adds a slice's row.

    Args:
        table: From `slice_table`.
        name: The slice's name.
        output: The name of the step that is shown, or of the expected amount.
        metrics: The slice's metrics.
        intervals: Of some of the metrics.
        misplaced: What share of all outcomes the slice misplaces.
    """
    auc, pcoc = f"auc/{output}", f"pcoc/{output}"
    table.add_row(
        name,
        output,
        number(metrics["rows"]),
        with_interval(metrics.get(auc), intervals.get(auc)),
        number(metrics.get(f"log_loss/{output}")),
        with_interval(metrics.get(pcoc), intervals.get(pcoc)),
        number(metrics.get(f"ece/{output}")),
        share(misplaced),
    )
