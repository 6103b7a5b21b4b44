"""Measures the readers of all file formats: 18 integer columns and two labels, checked, as NumPy.

    python -m benchmarks.input_speed [--rows=400000] [--rounds=5]

Prints a table and a line of JSON with the rows/s of each format; the table has the rows/s that we
want at least.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import Writer
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.terminal import command

_ROWS = flags.DEFINE_integer("rows", 400_000, "Rows of each file.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How many times each format is read.", lower_bound=1)

FIELDS = 18
ROWS_AT_A_TIME = 100_000  # written
# Rows per second that a reader must deliver at least, by the file's extension.
TARGETS = {
    "csv": 50_000,
    "csv.gz": 50_000,
    "parquet": 100_000,
    "tfrecord": 100_000,
    "tfrecord.gz": 100_000,
}
SCHEMA = Schema(
    name="speed",
    features=tuple(Feature(name=f"f{i}", kind="vocabulary", dtype="int64") for i in range(FIELDS)),
    tasks=(Task(name="click"), Task(name="buy")),
)


def write_files(directory: pathlib.Path, rows: int) -> None:
    """Writes the same rows in every format; the ids have as many digits as Ali-CCP's."""
    for extension in TARGETS:
        rng = np.random.default_rng(0)
        with Writer(directory / f"rows.{extension}") as writer:
            for start in range(0, rows, ROWS_AT_A_TIME):
                writer.append(_columns(min(ROWS_AT_A_TIME, rows - start), rng))


def _columns(rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    click = rng.random(rows) < 0.04
    buy = click & (rng.random(rows) < 0.1)
    columns = {"click": click.astype(int), "buy": buy.astype(int)}
    for feature in SCHEMA.features:
        columns[feature.name] = rng.zipf(1.3, rows) % 1_000_000 + 4_000_000
    return columns


def read_speed(file: str) -> float:
    """Reads a file once; returns rows per second."""
    began = time.perf_counter()
    blocks = read_blocks([file], SCHEMA, bad_rows=BadRows())
    rows = sum(len(block.row) for block in blocks)
    return rows / (time.perf_counter() - began)


def show(speeds: dict[str, list[float]]) -> None:
    """Prints the table and the line of JSON."""
    title = f"{FIELDS} integer columns, 2 labels"
    table = Table("format", "rows/s, median", "least", "most", "wanted at least", title=title)
    for extension, seen in speeds.items():
        figures = [statistics.median(seen), min(seen), max(seen), TARGETS[extension]]
        table.add_row(extension, *(f"{figure:,.0f}" for figure in figures))
    Console().print(table)
    medians = {extension: round(statistics.median(seen)) for extension, seen in speeds.items()}
    print(json.dumps(medians))


def main(argv: list[str]) -> None:
    """Reads every format in alternating rounds."""
    command.only_flags(argv)
    speeds: dict[str, list[float]] = {extension: [] for extension in TARGETS}
    with tempfile.TemporaryDirectory() as directory:
        write_files(pathlib.Path(directory), _ROWS.value)
        for _ in range(_ROUNDS.value):
            for extension, seen in speeds.items():
                seen.append(read_speed(f"{directory}/rows.{extension}"))
    show(speeds)


if __name__ == "__main__":
    command.run(main)
