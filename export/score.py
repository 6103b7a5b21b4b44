"""Scores rows of a file with an exported SavedModel and prints them, beside the truth where the file has it.

    python -m export.score --export_dir=DIR --data_dir=DIR [--split=test] [--rows=10]
"""

from __future__ import annotations

import sys

import numpy as np
from absl import app, flags
from rich.console import Console
from rich.table import Table

from export.session import SessionModel, latest
from tafe_tf import schema
from tafe_tf.data.files import find_files, read_blocks
from tafe_tf.data.rows import BadRows, Block, DataError

_EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Holds numbered versions; the highest is used.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the rows are.", required=True)
_SPLIT = flags.DEFINE_string("split", "test", "Which files are read.")
_ROWS = flags.DEFINE_integer("rows", 10, "How many rows, from the first file's start.", lower_bound=1)


def score(export_dir: str, data_dir: str, split: str, rows: int) -> Table:
    """Reads rows, runs `serving_default` through the session loader, and lays both out as a table.

    Raises:
        DataError: if the rows cannot be read.
        FileNotFoundError: if nothing has been exported.
    """
    path = latest(export_dir)
    dataset = schema.load(path / "assets.extra" / "schema.toml")
    blocks = read_blocks(find_files(data_dir, split), dataset, bad_rows=BadRows("drop"), block_rows=rows)
    block = next(blocks)
    scores = SessionModel(path)({column.name: block.columns[column.name] for column in dataset.inputs})
    truth = _truth(dataset, block)
    table = Table(title=f"{path}: the first {len(block.row)} rows of {data_dir}/{split}", title_justify="left")
    table.add_column("row", justify="right")
    names = [*dataset.step_names, *dataset.conditional_names]
    for name in names:
        table.add_column(name, justify="right")
        if name in truth:
            table.add_column("true", justify="right", style="dim")
    table.add_column("reached")
    for i, row in enumerate(block.row):
        cells = [f"{values[i]:.4f}" for n in names for values in ([scores[n], truth[n]] if n in truth else [scores[n]])]
        depth = int(block.labels[i].sum())
        table.add_row(str(row), *cells, dataset.tasks[depth - 1].name if depth else "")
    return table


def _truth(dataset: schema.Schema, block: Block) -> dict[str, np.ndarray]:
    if not all(task.truth for task in dataset.tasks):
        return {}
    steps = [block.columns[task.truth] for task in dataset.tasks]
    given = [later / before for before, later in zip(steps[:-1], steps[1:], strict=True)]
    return dict(zip((*dataset.step_names, *dataset.conditional_names), (*steps, *given), strict=True))


def main(argv: list[str]) -> None:
    """Prints the table; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        Console(soft_wrap=True).print(score(_EXPORT_DIR.value, _DATA_DIR.value, _SPLIT.value, _ROWS.value))
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
