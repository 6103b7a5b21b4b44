"""A look at a data set as tables and lines for a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from tafe_tf.data import bad_row_limit
from tafe_tf.first_look.look import Look
from tafe_tf.first_look.profile import ColumnProfile
from tafe_tf.terminal.tables import share, show


def print_look(look: Look, on_bad_row: str, max_bad_rows: str = bad_row_limit.DEFAULT) -> None:
    """Prints the columns, the funnel, and all that is wrong.

    Args:
        look: What was found.
        on_bad_row: "raise" or "drop", as in training.
        max_bad_rows: How many rows "drop" may leave out, as in training.
    """
    if look.columns:
        show(columns_table(look))
    if look.steps:
        show(steps_table(look))
    for line in lines(look, on_bad_row, max_bad_rows):
        print(line)


def columns_table(look: Look) -> Table:
    """Makes the table of the columns, one row each."""
    others = [split for split in look.rows if split != "train"]
    table = Table(title=escape(_title(look)), title_justify="left")
    for heading in ("column", "type", "looks like"):
        table.add_column(heading, overflow="fold")
    headings = ["distinct", "missing", *(f"unseen in {split}" for split in others)]
    for heading in (*headings, "lengths", "cut", "outside"):
        table.add_column(heading, justify="right")
    for column in look.columns:
        unseen = [share(column.unseen.get(split)) for split in others]
        table.add_row(
            escape(column.name),
            column.type,
            column.looks_like,
            f"{column.distinct:,}",
            share(column.missing),
            *unseen,
            _lengths(column),
            share(column.cut),
            share(column.outside),
        )
    return table


def steps_table(look: Look) -> Table:
    """Makes the table of the labels, one row each."""
    table = Table(title="labels of the training rows", title_justify="left")
    table.add_column("step", overflow="fold")
    for heading in ("rate", "unknown", "without the earlier step"):
        table.add_column(heading, justify="right")
    for step in look.steps:
        table.add_row(
            escape(step.label),
            share(step.rate),
            share(step.unknown),
            share(step.without_earlier),
        )
    return table


def lines(look: Look, on_bad_row: str, max_bad_rows: str = bad_row_limit.DEFAULT) -> list[str]:
    """What is wrong, a line each, and at last whether training would start."""
    found = [f"problem: {problem}" for problem in look.problems]
    found += bad_row_lines(look)
    for leak in look.leaks:
        found.append(f"leak: column {leak.column!r} {leak.reason}")
    found += [f"warning: {warning}" for warning in look.warnings]
    if look.unused:
        found.append(f"not used: {', '.join(look.unused)}")
    for split in look.is_cut:
        found.append(f"only the first {look.rows[split]:,} {split} rows were looked at")
    return [*found, _end(look, on_bad_row, max_bad_rows)]


def bad_row_lines(look: Look) -> list[str]:
    """A line for each split, column and rule."""
    found = []
    for split, reasons in look.bad_rows.items():
        for reason in reasons:
            what = "bad" if reason.verdict == "dropped" else reason.verdict
            found.append(f"{reason.rows:,} {split} rows are {what}, the first: {reason.first}")
    return found


def _end(look: Look, on_bad_row: str, max_bad_rows: str) -> str:
    bad = sum(look.bad.values())
    if look.problems:
        return f"training would stop: problems {len(look.problems)}, bad rows {bad:,}"
    if bad and on_bad_row == "raise":
        return f"training would stop at the first of {bad:,} bad rows, see --on_bad_row=drop"
    for split, rows in look.bad.items():
        if look.too_many(split, max_bad_rows):
            return (
                f"training would stop: {rows:,} of {look.rows[split]:,} {split} rows are bad, "
                f"which is more than --max_bad_rows={max_bad_rows} allows"
            )
    if not look.schema_file:
        return "no schema: `tafe draft` writes a first one"
    if bad:
        return f"training would start, and drop {bad:,} bad rows"
    return "no problems"


def _title(look: Look) -> str:
    counts = []
    for split, rows in look.rows.items():
        files = look.files[split]
        counts.append(f"{rows:,} {split} rows in {files:,} file{'s' if files > 1 else ''}")
    return f"{look.data}: {', '.join(counts)}"


def _lengths(column: ColumnProfile) -> str:
    if column.lengths is None:
        return "-"
    least, median, largest = column.lengths
    return f"{least} to {largest}, median {median}"
