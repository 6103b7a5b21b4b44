"""What each field adds to the predictions of a run's rows, as a function.

The fields' embeddings are not in an export, whose graph is made of frozen constants and gives
probabilities alone: it takes the run. What is explained is the model as it was trained; a curve
that calibrates an export (`--calibration`) moves each probability after that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from tafe_tf.data.errors import DataError
from tafe_tf.insight.importance.gradients import MOST_STEPS, TOLERANCE, Explainer, Explanation
from tafe_tf.schema import ABSENT
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.run import Run

Baseline = Literal["mean", "missing"]
BASELINES = get_args(Baseline)
BASELINE_ROWS = 1 << 16  # first training rows that the mean embeddings are of

Columns = Mapping[str, np.ndarray]


def explain(
    run: Run,
    rows: Any,
    which: Sequence[int] = (1,),
    *,
    baseline: Baseline = "mean",
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
    input_format: str = "",
) -> list[tuple[Columns, Explanation]]:
    """Divides the predictions of rows among the fields by integrated gradients.

    Args:
        run: The run.
        rows: Rows with or without labels, as `Run.predict` takes them.
        which: The numbers of the rows to explain, from 1. Default: the first row.
        baseline: From where predictions are explained. "mean" (the default): the mean embedding of
            each field over the first 65,536 training rows, which must still be there; "missing": a
            row in which every field is missing.
        tolerance: How far the sum of the attributions may be from what they must add up to, and
            how much the last doubling of the steps may change each, in log odds (of amounts in
            logarithms). Default: 0.01.
        most_steps: The most steps that are taken for that. Default: 16,384.
        input_format: The format of files without an ending, see `as_rows`. Default: "".

    Returns:
        Of each of these rows its raw columns, [1] or [1, length], and its explanation. Whether it
        is within the tolerance is told by `Explanation.error` and `change`: where a selector has
        become a step, gradients do not see it, and no number of steps may be enough.

    Raises:
        DataError: On a bad row, or if there is no row of such a number.
        ValueError: If the baseline is none of the two.

    Example:
        run = tafe_tf.load("runs/shop")
        _columns, first = explain(run, "data/test.csv")[0]
        print(dict(zip(first.fields, first.attributions[:, 0], strict=True)), first.error)
    """
    if baseline not in BASELINES:
        raise ValueError(f"`baseline` must be one of {BASELINES}. Received: {baseline!r}")
    picked = _pick(run, rows, which, input_format)
    start = _missing(run) if baseline == "missing" else _mean(run)
    explainer = Explainer(run.model, run.schema, start)
    found = []
    for columns in picked:
        h = _embedded(run, columns)
        found.append((columns, explainer.explain(h, tolerance, most_steps)))
    return found


def _pick(run: Run, rows: Any, which: Sequence[int], input_format: str) -> list[Columns]:
    """The raw columns of some rows, each with one row."""
    if not which or min(which) < 1:
        received = ", ".join(str(number) for number in which) or "none"
        raise ValueError(f"rows are numbered from 1. Received: {received}")
    wanted = set(which)
    found: dict[int, Columns] = {}
    before = 0
    for columns in run.served_columns(rows, input_format=input_format):
        count = _count(columns)
        for number in wanted:
            place = number - 1 - before
            if 0 <= place < count:
                found[number] = {name: values[[place]] for name, values in columns.items()}
        before += count
        if len(found) == len(wanted):
            return [found[number] for number in which]
    raise DataError(f"row {max(wanted)} is asked for, and there are {before:,} rows")


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _embedded(run: Run, columns: Columns) -> np.ndarray:
    """What `FunnelModel.embed` gives of rows, float32."""
    inputs = run.features(columns)
    return np.asarray(run.model.embed(inputs, training=False), np.float32)


def _mean(run: Run) -> np.ndarray:
    """The mean embeddings of the first training rows, as one row."""
    total: np.ndarray | float = 0.0
    count = 0
    files = run.directory.rows.train_files()
    for columns in _first_batches(run, files):
        h = _embedded(run, columns)
        total = total + h.sum(axis=0, keepdims=True, dtype=np.float64)
        count += len(h)
    return (np.asarray(total) / count).astype(np.float32)


def _first_batches(run: Run, files: Sequence[str]) -> Iterator[Columns]:
    batches = run.served_columns(files, batch_size=EVALUATION_ROWS)
    return itertools.islice(batches, BASELINE_ROWS // EVALUATION_ROWS)


def _missing(run: Run) -> np.ndarray:
    """The embeddings of a row in which everything is missing."""
    columns = {}
    for column in run.schema.served_inputs:
        shape = [1, column.max_length] if column.max_length else [1]
        dtype = object if column.dtype == "string" else column.dtype
        columns[column.name] = np.full(shape, ABSENT[column.dtype], dtype)
    return _embedded(run, columns)
