"""Rows that training did not see: for warm-up requests, calibration and the export's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tafe_tf.data.batches.batch import Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.features.graph import Features
from tafe_tf.terminal.tables import before_after_table, show
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.predictions import Predictions, labels_and_weights
from tafe_tf.training.run_dir import RunDir

# A function and not the model itself: an `Evaluator` sets the pieces of a model that it is given.
Score = Callable[..., Any]


class Unseen(NamedTuple):
    """Rows to evaluate on.

    Attributes:
        data: Where they are.
        part: Which part of `data` they are.
        name: What they are called, "test rows" or "held-out rows".
    """

    data: FunnelData
    part: Part
    name: str


def unseen(run: RunDir) -> Unseen:
    """Finds the rows to evaluate a run on: its test rows, or those held out if it has none.

    Raises:
        RunError: If the run does not say where they are, or its files are gone.
    """
    test = run.rows.test()
    if test is not None:
        return Unseen(test, "all", "test rows")
    return Unseen(run.rows.held_out(), "valid", "held-out rows")


def sample(run: RunDir, count: int) -> dict[str, np.ndarray]:
    """Reads the first held-out rows of a run, or its first training rows if none were held out.

    Args:
        run: The run.
        count: The largest number of rows, n.

    Returns:
        Raw columns, [n] or [n, max_length].

    Raises:
        RunError: If the run's files are gone.
    """
    data = run.rows.held_out(batch_size=count)
    batch = next(data.evaluation_batches("valid"), None)
    if batch is None:
        batch = next(data.evaluation_batches("all"))
    return dict(batch.inputs)


def predictions(
    run: RunDir,
    exported: Score,
    features: Features,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes an exported model's logits on all held-out rows of a run.

    Args:
        run: The run.
        exported: The exported model, a function from model inputs to logits.
        features: The run's feature graph.

    Returns:
        Logits [n, N], labels [n, N] and the weights of each row's steps, [n, N].

    Raises:
        RunError: If no rows were held out, or the run's files are gone.
    """
    seen = Predictions(features.schema)
    evaluator = Evaluator(exported, features)
    evaluator.predict(run.rows.held_out(), "valid", seen.add)
    if not seen.rows:
        raise RunError(
            f"{run.path}: no rows were held out (--valid_fraction), which calibration needs"
        )
    rows = seen.arrays()
    labels, weights = labels_and_weights(rows)
    return rows["logits"], labels, weights


def show_cost(run: RunDir, exported: Score) -> None:
    """Prints the metrics of a model as trained and as exported, on the run's test or held-out rows.

    Args:
        run: The run.
        exported: The exported model, a function from model inputs to logits.

    Raises:
        RunError: If the rows are gone.
    """
    data, part, name = unseen(run)
    features = run.features()
    before = Evaluator(run.load_best(), features).evaluate(data, part)
    after = Evaluator(exported, features).evaluate(data, part)
    if part == "valid":
        name += ", on which calibration was fitted"
    table = before_after_table(
        before,
        after,
        run.schema(),
        title=f"{before['rows']:,} {name}: trained, and as exported",
        metrics=("auc", "ece", "pcoc"),
        headings=("trained", "exported"),
    )
    show(table)
