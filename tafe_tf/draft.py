"""Writes a first schema for a data set, each line with its reason, that trains as it is.

    python -m tafe_tf.draft DATA > schema.toml

DATA is a directory with files `train`, `valid` and `test`, a directory with files of any name, or
one file. In its place, --train='log/dt=2026-11-*' names files by a pattern. The labels are found by
their names and values; --task names them where they are not. The schema goes to the standard
output, and nothing else does.
"""

from __future__ import annotations

from absl import flags
from absl.flags import adopt_module_key_flags

from tafe_tf import source_flags
from tafe_tf.drafting.draft import MAX_ROWS, draft
from tafe_tf.terminal import command

adopt_module_key_flags(source_flags)
_TASK = flags.DEFINE_multi_string(
    "task",
    [],
    "Column of a label; once for each step of the funnel, in order. By default the steps are found "
    "by the columns' names and values.",
)
_NAME = flags.DEFINE_string(
    "name",
    "",
    "Name of the data set: letters, digits and underscores. By default that of DATA.",
)
_MAX_ROWS = flags.DEFINE_integer(
    "max_rows",
    MAX_ROWS,
    "How many training rows to look at.",
    lower_bound=1,
)


def main(argv: list[str]) -> None:
    """Prints the schema; what the user can mend ends it with one line and exit code 1."""
    with command.one_line_errors():
        data = source_flags.of_arguments(argv)
        print(draft(data, _TASK.value, _NAME.value, _MAX_ROWS.value), end="")


if __name__ == "__main__":
    command.run(main)
