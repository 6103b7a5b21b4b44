"""Scores rows of a file with an exported SavedModel and prints them, beside the truth where the file has it.

python -m export.score --model_base_path=DIR --input=FILE [--rows=10]
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from absl import app, flags
from rich.table import Table

from export.session import SessionModel, latest
from tafe_tf import schema
from tafe_tf.data.files import read_blocks
from tafe_tf.data.rows import BadRows, Block, DataError
from tafe_tf.flags import required
from tafe_tf.run_dir import RunError
from tafe_tf.tables import show

_BASE_PATH = flags.DEFINE_string("model_base_path", "", "Holds numbered versions; the highest is used.")
_INPUT = flags.DEFINE_string("input", "", "A CSV, Parquet or TFRecord file in the schema's columns.")
_ROWS = flags.DEFINE_integer("rows", 10, "How many rows, from the file's start.", lower_bound=1)


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
    scores = SessionModel(path)({column.name: block.columns[column.name] for column in dataset.inputs})
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
        cells = [f"{values[i]:.4f}" for n in names for values in ([scores[n], truth[n]] if n in truth else [scores[n]])]
        depth = int(block.labels[i].sum())
        table.add_row(str(row), *cells, dataset.tasks[depth - 1].name if depth else "")
    return table


def _truth(dataset: schema.Schema, block: Block) -> dict[str, np.ndarray]:
    if not all(task.truth for task in dataset.tasks):
        return {}
    steps = [block.columns[task.truth] for task in dataset.tasks]
    given = [later / before for before, later in itertools.pairwise(steps)]
    return dict(zip((*dataset.step_names, *dataset.conditional_names), (*steps, *given), strict=True))


def main(argv: list[str]) -> None:
    """Prints the table; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        required(model_base_path=_BASE_PATH.value, input=_INPUT.value)
        show(score(_BASE_PATH.value, _INPUT.value, _ROWS.value))
    except (DataError, OSError, RunError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
