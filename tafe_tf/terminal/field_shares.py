"""Shares of missing and unseen values beside those of training, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from rich.table import Table

from tafe_tf.data.field_counts import KINDS, FieldCounts, Shares, nearly_all_unseen
from tafe_tf.terminal.tables import Metrics, share, show


def print_field_shares(
    counts: FieldCounts,
    training: Mapping[str, Shares],
    title: str,
    file: TextIO | None = None,
) -> None:
    """Prints the table, and below it a line for each share that is far above training's or near 1.

    Args:
        counts: The values that were counted.
        training: The shares of the training rows, by "missing" and "unseen" and then by field.
        title: Text above the table.
        file: Where to print. Default: None, the standard output.
    """
    print_field_table(counts, training, title, file)
    for jump in counts.jumps(training):
        print(f"warning: {jump}", file=file)
    print_unseen(counts.shares("unseen"), file)


def print_unseen(shares: Shares, file: TextIO | None = None) -> None:
    """Prints a line for each field of whose values nearly all are unseen.

    Args:
        shares: The share of each field's values that are unseen.
        file: Where to print. Default: None, the standard output.
    """
    for line in nearly_all_unseen(shares):
        print(f"warning: {line}", file=file)


def print_field_table(
    counts: FieldCounts,
    training: Mapping[str, Shares],
    title: str,
    file: TextIO | None = None,
) -> None:
    """Prints a row for each field that has a missing or an unseen value, here or in training.

    Args:
        counts: The values that were counted.
        training: The shares of the training rows, by "missing" and "unseen" and then by field.
        title: Text above the table.
        file: Where to print. Default: None, the standard output.
    """
    shown = [field for field in counts.fields if _is_shown(field, counts, training)]
    if shown:
        show(_table(shown, counts, training, title), file)
    others = len(counts.fields) - len(shown)
    if others:
        start = "" if shown else f"{title}: "
        print(
            f"{start}{others} of {len(counts.fields)} fields have no missing and no unseen value",
            file=file,
        )
    if not any(training.get(kind) for kind in KINDS):
        print("the shares of the training rows are not known", file=file)


def print_field_metrics(
    metrics: Metrics,
    training: Mapping[str, Shares],
    title: str,
) -> None:
    """Prints what an evaluation found of the fields' values, see `print_field_shares`.

    Args:
        metrics: What `Evaluator.evaluate` returns; nothing is printed if it did not look.
        training: The shares of the training rows, by "missing" and "unseen" and then by field.
        title: Text above the table.
    """
    counts = FieldCounts.of_metrics(metrics)
    if counts.fields:
        print_field_shares(counts, training, title)


def _is_shown(field: str, counts: FieldCounts, training: Mapping[str, Shares]) -> bool:
    here = [counts.shares(kind)[field] for kind in KINDS]
    in_training = [training.get(kind, {}).get(field, 0.0) for kind in KINDS]
    return any([*here, *in_training])


def _table(
    shown: list[str],
    counts: FieldCounts,
    training: Mapping[str, Shares],
    title: str,
) -> Table:
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
