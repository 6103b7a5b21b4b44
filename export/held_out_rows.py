"""What an export takes from rows that training did not see: real requests, calibration, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from rich.table import Table

from tafe_tf.data.batches.batch import Batch, Part
from tafe_tf.features.graph import Features
from tafe_tf.terminal.tables import show
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run_dir import RunDir, RunError

_SHOWN = {"auc": "AUC", "ece": "calibration error", "pcoc": "predicted / observed"}


def sample(run: RunDir, count: int) -> dict[str, np.ndarray]:
    """Up to `count` raw rows, the first of those held out; training rows where none were.

    Returns:
        Columns, [n] or [n, max_length].

    Raises:
        RunError: if the run's files are gone.
    """
    data = run.held_out(batch_size=count)
    batch = next(data.evaluation_batches("valid"), None) or next(data.evaluation_batches("all"))
    return dict(batch.inputs)


def predictions(
    run: RunDir, model: keras.Model, features: Features
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits [n, N], labels [n, N] and weights [n] of all held-out rows.

    Raises:
        RunError: if none were held out, or the run's files are gone.
    """
    parts: list[tuple[np.ndarray, ...]] = []

    def keep(logits: np.ndarray, batch: Batch) -> bool:
        parts.append((logits, batch.labels, batch.weight))
        return True

    Evaluator(model, features).predict(run.held_out(), "valid", keep)
    if not parts:
        raise RunError(
            f"{run.path}: no rows were held out (--valid_fraction), which calibration needs"
        )
    logits, labels, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return logits, labels, weights


def show_cost(run: RunDir, exported: Callable[..., Any]) -> None:
    """Prints what storing and calibrating changed, on the test rows; where there are none, on those held out.

    Args:
        run: the run.
        exported: the exported model, model inputs -> logits.
    """
    test = run.test()
    part: Part = "valid" if test is None else "all"
    data = run.held_out() if test is None else test
    features, schema = run.features(), run.schema()
    before, after = (
        Evaluator(m, features).evaluate(data, part) for m in (run.load_best(), exported)
    )
    rows = "test rows" if test is not None else "held-out rows, on which calibration was fitted"
    table = Table(
        title=f"{before['rows']:,} {rows}: trained, and as exported", title_justify="left"
    )
    table.add_column("probability")
    for text in _SHOWN.values():
        table.add_column(text, justify="right")
        table.add_column("exported", justify="right")
    for name in (*schema.step_names, *schema.conditional_names):
        pairs = [(before[f"{key}/{name}"], after[f"{key}/{name}"]) for key in _SHOWN]
        table.add_row(name, *("-" if x is None else f"{x:.5f}" for pair in pairs for x in pair))
    show(table)
