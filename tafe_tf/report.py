"""Prints what runs have reached: the metrics of their test rows, and how the validation went.

python -m tafe_tf.report RUN_DIR [RUN_DIR ...]
"""

from __future__ import annotations

import json
import pathlib
import sys

from absl import app
from rich.table import Table

from tafe_tf import schema, schema_toml
from tafe_tf.terminal.tables import print_metrics, show


def main(argv: list[str]) -> None:
    """Prints tables for each run directory."""
    if len(argv) < 2:
        raise app.UsageError("give at least one run directory")
    for path in map(pathlib.Path, argv[1:]):
        try:
            dataset = schema_toml.load(path / "schema.toml")
            history, metrics = (
                json.loads((path / f"{name}.json").read_text()) for name in ("history", "metrics")
            )
        except OSError as error:
            sys.exit(f"error: {error}; has the run finished?")
        show(history_table(history, dataset, f"{path}: validation by epoch"))
        print_metrics(metrics, dataset, f"{path}: test")


def history_table(history: list[dict[str, float]], dataset: schema.Schema, title: str) -> Table:
    """One row an epoch: seconds and the AUC of each probability."""
    names = [*dataset.step_names, *dataset.conditional_names]
    table = Table(title=title, title_justify="left")
    for header in ("epoch", "seconds", *(f"AUC {name}" for name in names)):
        table.add_column(header, justify="right")
    for epoch in history:
        aucs = (epoch[f"auc/{name}"] for name in names)
        cells = ("-" if auc is None else f"{auc:.4f}" for auc in aucs)
        table.add_row(str(int(epoch["epoch"])), f"{epoch['train_seconds']:.1f}", *cells)
    return table


if __name__ == "__main__":
    app.run(main)
