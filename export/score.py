"""Scores the first rows of a file with an export, and prints them.

    python -m export.score DIR FILE [ROWS]       # DIR holds the versions: the highest is used

ROWS is 10 by default. `python -m serving.batch_score` scores whole files.
"""

from __future__ import annotations

from absl import app

from tafe_tf.export.first_rows import ROWS, score_first_rows
from tafe_tf.terminal import command
from tafe_tf.terminal.tables import show


def main(argv: list[str]) -> None:
    """Prints the table of scores."""
    is_number = all(text.isdigit() for text in argv[3:])
    if len(argv) not in (3, 4) or not is_number:
        raise app.UsageError(
            "give a directory of versions, a file and, if you like, a number of rows"
        )
    rows = int(argv[3]) if len(argv) == 4 else ROWS
    with command.one_line_errors():
        table = score_first_rows(argv[1], argv[2], rows)
    show(table)


if __name__ == "__main__":
    command.run(main)
