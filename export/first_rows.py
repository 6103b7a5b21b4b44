"""Scores the first rows of a file with an export and prints them, beside the truth where the file has it.

    python -m export.score DIR FILE [ROWS]       # DIR holds the versions: the highest is used

`python -m serving.batch_score` scores whole files.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from absl import app
from rich.table import Table

from tafe_tf import schema
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.export.session_model import SessionModel, latest
from tafe_tf.terminal.tables import show


def score(base_path: str, file: str, rows: int) -> Table:
    """Reads rows, runs `serving_default` through the session loader, and lays both out as a table.

    Raises:
        DataError: if the rows cannot be read.
        FileNotFoundError: if nothing has been exported.
    """
    path = latest(base_path)
    dataset = schema.load(path / "assets.extra" / "schema.toml")
    blocks = read_blocks([file], dataset, bad_rows=BadRows("drop"), block_rows=rows)
    block = next(blocks)
    scores = SessionModel(path)(
        {column.name: block.columns[column.name] for column in dataset.inputs}
    )
    truth = _truth(dataset, block)
    table = Table(title=f"{path}: the first {len(block.row)} rows of {file}", title_justify="left")
    table.add_column("row", justify="right")
    names = [*dataset.step_names, *dataset.conditional_names]
    for name in names:
        table.add_column(name, justify="right")
        if name in truth:
            table.add_column("true", justify="right", style="dim")
    table.add_column("reached")
    for i, row in enumerate(block.row):
        cells = [
            f"{values[i]:.4f}"
            for n in names
            for values in ([scores[n], truth[n]] if n in truth else [scores[n]])
        ]
        depth = int(block.labels[i].sum())
        table.add_row(str(row), *cells, dataset.tasks[depth - 1].name if depth else "")
    return table


def _truth(dataset: schema.Schema, block: Block) -> dict[str, np.ndarray]:
    if not all(task.truth for task in dataset.tasks):
        return {}
    steps = [block.columns[task.truth] for task in dataset.tasks]
    given = [later / before for before, later in itertools.pairwise(steps)]
    return dict(
        zip((*dataset.step_names, *dataset.conditional_names), (*steps, *given), strict=True)
    )


def main(argv: list[str]) -> None:
    """Prints the table; what the user can mend ends it with one line and exit code 1."""
    if len(argv) not in (3, 4) or not all(text.isdigit() for text in argv[3:]):
        raise app.UsageError(
            "give a directory of versions, a file and, if you like, a number of rows"
        )
    try:
        show(score(argv[1], argv[2], int(argv[3]) if argv[3:] else 10))
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
