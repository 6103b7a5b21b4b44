"""Shares of missing and unseen values beside those of training, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from rich.table import Table

from tafe_tf.data.field_counts import KINDS, FieldCounts, Shares
from tafe_tf.terminal.tables import share, show


def field_shares_table(
    counts: FieldCounts,
    training: Mapping[str, Shares],
    title: str,
) -> Table:
    """Makes the table of the fields that have a missing or an unseen value.

    Args:
        counts: The values that were counted.
        training: The shares of the training rows, by "missing" and "unseen" and then by field.
        title: Text above the table.
    """
    shown = []
    for field in counts.fields:
        found = [counts.shares(kind)[field] for kind in KINDS]
        before = [training.get(kind, {}).get(field, 0.0) for kind in KINDS]
        if any([*found, *before]):
            shown.append(field)
    others = len(counts.fields) - len(shown)
    if others:
        title = f"{title}: no missing and no unseen ones in {others} of {len(counts.fields)} fields"
    table = Table(title=title, title_justify="left")
    table.add_column("field")
    for kind in KINDS:
        table.add_column(kind, justify="right")
        table.add_column("in training", justify="right", style="dim")
    for field in shown:
        cells = []
        for kind in KINDS:
            cells.append(share(counts.shares(kind)[field]))
            cells.append(share(training.get(kind, {}).get(field)))
        table.add_row(field, *cells)
    return table


def print_field_shares(
    counts: FieldCounts,
    training: Mapping[str, Shares],
    title: str,
    file: TextIO | None = None,
) -> None:
    """Prints the table, and below it a line for each share that is far above that of training.

    Args:
        counts: The values that were counted.
        training: The shares of the training rows, by "missing" and "unseen" and then by field.
        title: Text above the table.
        file: Where to print. Default: None, the standard output.
    """
    show(field_shares_table(counts, training, title), file)
    if not any(training.values()):
        print("the shares of the training rows are not known", file=file)
    for jump in counts.jumps(training):
        print(f"warning: {jump}", file=file)
