"""Scores of the first rows of a file, as a table for the terminal."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from typing import Any

import numpy as np
from rich.table import Table

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import MissingColumnError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.export import manifest
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input
from tafe_tf.export.versions import SCHEMA_FILE, latest
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import named

ROWS = 10


def score_first_rows(
    export_dir: str | pathlib.Path,
    file: str | pathlib.Path,
    rows: int = ROWS,
) -> Table:
    """Reads rows, runs `serving_default` through the session loader, and lays both out as a table.

    Args:
        export_dir: The directory in which versions are published, or its URI; the latest is used.
        file: A file of rows in any format that training reads, with labels or without.
        rows: How many rows to score; 10 by default. Bad rows are left out.

    Returns:
        A table with one row for each row of the file. Where every task of the schema has a column
        `truth`, each probability stands beside the true one. If the file has the labels, the last
        step that the row reached stands there too.

    Raises:
        DataError: If the rows cannot be read, or the version is not what was published.
        FileNotFoundError: If nothing has been exported.
    """
    path = latest(export_dir)
    manifest.check(path)
    dataset = schema_toml.load(path / SCHEMA_FILE)
    block = _first_block(dataset, str(file), rows)
    inputs = by_input(dataset, block.columns)
    with contextlib.closing(SessionModel(path)) as served:
        scores = served(inputs)
    title = f"{named(str(path))}: the first {len(block.row)} rows of {file}"
    return _table(title, dataset, block, scores)


def _first_block(dataset: Schema, file: str, rows: int) -> Block:
    """The first rows of a file: all columns of the schema if it has them, or else the inputs."""
    settings: dict[str, Any] = {"bad_rows": BadRows("drop"), "block_rows": rows}
    try:
        return next(read_blocks([file], dataset, **settings))
    except MissingColumnError as error:
        inputs = [column.name for column in dataset.served_inputs]
        block = next(read_blocks([file], dataset, columns=inputs, **settings))
        print(f"only the inputs are read: {error}")
        return block


def _table(
    title: str,
    dataset: Schema,
    block: Block,
    scores: dict[str, np.ndarray],
) -> Table:
    """One row for each row of the block: its probabilities, and the last step that it reached."""
    truth = _truth(dataset, block)
    table = Table(title=title, title_justify="left")
    table.add_column("row", justify="right")
    columns = []
    for name in dataset.output_names:
        table.add_column(name, justify="right")
        columns.append(scores[name])
        if name in truth:
            table.add_column("true", justify="right", style="dim")
            columns.append(truth[name])
    has_labels = block.labels.shape[1] > 0
    if has_labels:
        table.add_column("reached")
    for i, row in enumerate(block.row):
        cells = [f"{values[i]:.4f}" for values in columns]
        if has_labels:
            depth = int((block.labels[i] > 0).sum())
            cells.append(dataset.tasks[depth - 1].name if depth else "")
        table.add_row(str(row), *cells)
    return table


def _truth(dataset: Schema, block: Block) -> dict[str, np.ndarray]:
    """The true probabilities by name, [n] each; none unless every task has a column of them."""
    if not all(task.truth in block.columns for task in dataset.tasks):
        return {}
    steps = [block.columns[task.truth] for task in dataset.tasks]
    conditionals = [later / earlier for earlier, later in itertools.pairwise(steps)]
    names = [*dataset.step_names, *dataset.conditional_names]
    values = [*steps, *conditionals]
    return dict(zip(names, values, strict=True))
