"""Lists all problems of a data set and its schema at once, and says what each column holds.

    python -m tafe_tf.look DATA [--schema=FILE]

DATA is a directory with files `train`, `valid` and `test`, a directory with files of any name, or
one file. In its place, --train='log/dt=2026-11-*', --valid and --test name files by patterns.
Nothing is trained or written, and TensorFlow is only needed to read TFRecord files. The exit code
is 1 if training would stop.
"""

from __future__ import annotations

import json
import sys

from absl import flags
from absl.flags import adopt_module_key_flags, declare_key_flag

from tafe_tf import insight_flags, source_flags
from tafe_tf.data import bad_row_limit
from tafe_tf.first_look.look import MAX_ROWS, look
from tafe_tf.first_look.tables import print_look
from tafe_tf.terminal import command

adopt_module_key_flags(source_flags)
declare_key_flag("json")
_SCHEMA = flags.DEFINE_string(
    "schema",
    "",
    "TOML file that says what the columns are. By default schema.toml beside the data, and none if "
    "there is no such file.",
)
_MAX_ROWS = flags.DEFINE_integer(
    "max_rows",
    MAX_ROWS,
    "How many rows of a split to look at; the others are not read.",
    lower_bound=1,
)
_ON_BAD_ROW = flags.DEFINE_enum(
    "on_bad_row",
    "raise",
    ["raise", "drop"],
    'What training would do with bad rows. With "drop" they do not count as problems.',
)
_MAX_BAD_ROWS = flags.DEFINE_string(
    "max_bad_rows",
    bad_row_limit.DEFAULT,
    'How many rows of a split training would drop at most with "drop": a number such as 1000, or a '
    "share of the rows such as 1%.",
)


def main(argv: list[str]) -> None:
    """Looks, prints, and ends with exit code 1 if training would stop."""
    with command.one_line_errors():
        bad_row_limit.check_limit(_MAX_BAD_ROWS.value)
        data = source_flags.of_arguments(argv)
        found = look(data, _SCHEMA.value, _MAX_ROWS.value)
    if insight_flags.JSON.value:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print_look(found, _ON_BAD_ROW.value, _MAX_BAD_ROWS.value)
    if found.stops(_ON_BAD_ROW.value, _MAX_BAD_ROWS.value):
        sys.exit(1)


if __name__ == "__main__":
    command.run(main)
