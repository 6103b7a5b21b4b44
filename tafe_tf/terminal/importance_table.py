"""What a model loses without each field, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from tafe_tf.terminal.tables import with_interval

_DIGITS = 4


def importance_table(title: str) -> Table:
    """An empty table of effects; `add_effect` adds a row."""
    table = Table(title=title, title_justify="left")
    for heading in ("field", "probability"):
        table.add_column(heading)
    for heading in ("AUC is smaller by", "log loss is larger by"):
        table.add_column(heading, justify="right")
    return table


def add_effect(table: Table, effect: Mapping[str, Any]) -> None:
    """Adds a row.

    Args:
        table: From `importance_table`.
        effect: An element of "fields" in `importance.json`.
    """
    table.add_row(
        effect["field"],
        effect["output"],
        with_interval(effect["auc_drop"], effect["interval"], _DIGITS),
        with_interval(effect["log_loss_rise"], effect["log_loss_interval"], _DIGITS),
    )
