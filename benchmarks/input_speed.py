"""Rows a second that the readers deliver: 18 integer columns and two labels, checked and as NumPy.

python -m benchmarks.input_speed [--rows=400000] [--rounds=5]
"""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
from absl import app, flags
from rich.console import Console
from rich.table import Table

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import Writer
from tafe_tf.schema import Feature, Schema, Task

_ROWS = flags.DEFINE_integer("rows", 400_000, "Rows a file.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds over all formats.", lower_bound=1)

FIELDS = 18
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
    """The same rows in every format, ids as long as Ali-CCP's."""
    rng = np.random.default_rng(0)
    for extension in TARGETS:
        with Writer(directory / f"rows.{extension}") as writer:
            for start in range(0, rows, 100_000):
                n = min(100_000, rows - start)
                click = rng.random(n) < 0.04
                columns = {
                    f.name: rng.zipf(1.3, n) % 1_000_000 + 4_000_000 for f in SCHEMA.features
                }
                writer.append(
                    {
                        **columns,
                        "click": click.astype(int),
                        "buy": (click & (rng.random(n) < 0.1)).astype(int),
                    }
                )


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    speeds: dict[str, list[float]] = {extension: [] for extension in TARGETS}
    with tempfile.TemporaryDirectory() as directory:
        write_files(pathlib.Path(directory), _ROWS.value)
        for _ in range(_ROUNDS.value):
            for extension, seen in speeds.items():
                began = time.perf_counter()
                blocks = read_blocks([f"{directory}/rows.{extension}"], SCHEMA, bad_rows=BadRows())
                rows = sum(len(block.row) for block in blocks)
                seen.append(rows / (time.perf_counter() - began))
    table = Table(
        "format",
        "rows/s, median",
        "least",
        "most",
        "at least",
        title=f"{FIELDS} integer columns, 2 labels",
    )
    for extension, seen in speeds.items():
        figures = (statistics.median(seen), min(seen), max(seen), TARGETS[extension])
        table.add_row(extension, *(f"{figure:,.0f}" for figure in figures))
    Console().print(table)
    print(
        json.dumps(
            {extension: round(statistics.median(seen)) for extension, seen in speeds.items()}
        )
    )


if __name__ == "__main__":
    app.run(main)
