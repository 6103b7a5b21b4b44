"""The slices of a run, as a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tafe_tf.insight.slices.measure import REPLICATES, Slice, measure
from tafe_tf.insight.slices.reading import predicted, slicings_by
from tafe_tf.training.run import Run


def evaluate_by(
    run: Run,
    columns: Sequence[str],
    rows: Any = None,
    replicates: int = REPLICATES,
    **settings: Any,
) -> list[Slice]:
    """Measures a run's model on the rows that share a value of a column, the worst slices first.

    Args:
        run: The run.
        columns: Columns of one value a row, also ones that are no features.
        rows: Rows with labels, as `Run.evaluate` takes them. Default: None, the run's test rows.
        replicates: How many bootstrap samples give the intervals. Default: 200.
        **settings: Further arguments of `Run.data`, such as `batch_size`.

    Raises:
        DataError: On a bad row, or if a column is not there or holds lists.

    Example:
        run = tafe_tf.load("runs/shop")
        worst = evaluate_by(run, ["country", "price"])[0]
        print(worst.column, worst.value, worst.metrics["pcoc/ctr"], worst.intervals["pcoc/ctr"])
    """
    if rows is None:
        rows = run.directory.rows.test_files()
        settings.setdefault("now", run.directory.rows.now)
    data = run.data(rows, **settings)
    slicings = slicings_by(data, columns)  # first, since a wrong name is quickly found
    return measure(
        predicted(run.model, run.features, data),
        slicings,
        run.schema,
        replicates,
    )
