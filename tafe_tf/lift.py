"""Compares two models on a log of days: how many more outcomes the one finds than the other.

    python -m tafe_tf.lift NEW OTHER FILE [FILE ...] --day=date [--share=0.1] [--html=FILE]
    python -m tafe_tf.lift models/shop/7 models/shop/6 'log/dt=2026-11-*' --day=date

NEW and OTHER are runs, or versions of an export. The files are rows with labels that neither model
was trained on. Of each day's rows each model takes the --share that it scores highest, step by step
of the funnel; the lift is the outcomes in the new model's rows over those in the other's, less 1,
with its 95 % interval. This is the paper's Figure 9 as far as a log can tell it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from absl import flags as absl_flags
from absl.flags import declare_key_flag
from rich.table import Table

from tafe_tf import flags, insight_flags, machine
from tafe_tf.insight.figures.charts import write_figures
from tafe_tf.insight.figures.daily import SHARE, DailyLift
from tafe_tf.insight.page.parts import Section
from tafe_tf.insight.page.render import check_target, write
from tafe_tf.insight.report.lift import Lift, find_lift
from tafe_tf.terminal import command
from tafe_tf.terminal.tables import show
from tafe_tf.training.noted_rows import EVALUATION_ROWS

for _name in ("input_format", "html", "json", "day", "figures"):
    declare_key_flag(_name)

_SHARE = absl_flags.DEFINE_float(
    "share", SHARE, "Of each day's rows, how many a model takes.", 1e-6, 1.0
)


def main(argv: list[str]) -> None:
    """Compares, and prints or writes what was found."""
    with command.one_line_errors():
        lift(argv[1:])


def lift(arguments: list[str]) -> None:
    """What `main` does, errors aside."""
    if len(arguments) < 3:
        received = " ".join(arguments) or "none"
        rule = "three arguments or more must be given: two runs or exports, and rows"
        raise command.CommandError(f"{rule}. Received: {received}")
    command.required(day=insight_flags.DAY.value)
    if insight_flags.HTML.value:
        check_target(insight_flags.HTML.value)
    machine.set_threads(EVALUATION_ROWS)
    machine.keep_freed_memory()
    new, other, *files = arguments
    input_format = flags.given("input_format") or ""
    found = find_lift(new, other, files, insight_flags.DAY.value, _SHARE.value, input_format)
    if insight_flags.JSON.value:
        print(json.dumps(found.as_json(), indent=2))
    else:
        for step, days in found.days.items():
            show(_table(f"{step}: {new} over {other}", days))
    if insight_flags.HTML.value:
        write_page(insight_flags.HTML.value, found, f"tafe lift {' '.join(arguments)}")
    if insight_flags.FIGURES.value:
        write_figures(insight_flags.FIGURES.value, found.figures())


def _table(title: str, days: Sequence[DailyLift]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("day")
    for heading in ("rows", "lift", "95 % interval"):
        table.add_column(heading, justify="right")
    for one in days:
        lift = "-" if one.lift is None else f"{one.lift:+.1%}"
        ends = "-" if one.interval is None else f"{one.interval[0]:+.1%} to {one.interval[1]:+.1%}"
        table.add_row(one.day, f"{one.rows:,}", lift, ends)
    return table


def write_page(path: str, found: Lift, made_by: str) -> None:
    """Writes a page of what was found.

    Args:
        path: Of the file, or its URI.
        found: What was found.
        made_by: The command that made it.
    """
    section = Section(title="Day by day", parts=list(found.figures().values()))
    write(path, f"{found.new} over {found.other}", [section], (), [f"Made by {made_by}."])


if __name__ == "__main__":
    command.run(main)
