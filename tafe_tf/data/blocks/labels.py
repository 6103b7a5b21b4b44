"""Labels and actions of raw rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.report_rows import report_rows
from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.values import spelled
from tafe_tf.schema import Column, Schema


def read_labels(
    raw: Mapping[str, pa.Array],
    schema: Schema,
    problems: list[Problem],
    path: str,
) -> np.ndarray:
    """Reads the labels, uint8 [n, N], and checks that each is 0 or 1, and 1 only after a 1."""
    names = schema.labels
    count = len(raw[names[0]])
    shape = (count, len(names))
    labels = np.zeros(shape, np.uint8)
    for i, name in enumerate(names):
        found: list[Problem] = []
        column = Column(name=name, dtype="float64")
        try:
            numeric = spelled(
                raw[name],
                column,
                schema.missing,
                found,
                np.arange(count),
                path,
            )
        except pa.ArrowNotImplementedError as error:
            raise DataError(f"{path}: column {name!r} cannot be read as a label: {error}") from None
        values = numeric.fill_null(np.nan).to_numpy(zero_copy_only=False)
        reasons = {problem.index: problem.value for problem in found}
        wrong = (values != 0) & (values != 1)  # NaN included
        rule = "a label must be 0 or 1"
        for place in np.flatnonzero(wrong):
            index = int(place)
            as_stored = raw[name][index].as_py()
            value = reasons.get(index, as_stored)
            problems.append(Problem(index, name, rule, value))
        labels[:, i] = values == 1
    for i in range(1, len(names)):
        wrong = labels[:, i] > labels[:, i - 1]
        rule = f"is 1 where the earlier step {names[i - 1]!r} is 0"
        report_rows(
            wrong,
            names[i],
            rule,
            labels[:, i],
            problems,
        )
    return labels


def check_actions(
    columns: dict[str, np.ndarray],
    labels: np.ndarray,
    schema: Schema,
    problems: list[Problem],
) -> None:
    """Checks that each action is 0 or 1, and 1 only after the step before it."""
    for i in schema.via:
        name = schema.tasks[i].via
        if name not in columns:
            continue
        values = columns[name]
        wrong = (values != 0) & (values != 1)
        report_rows(wrong, name, "an action must be 0 or 1", values, problems)
        too_early = ~wrong & (values > labels[:, i - 1])
        rule = f"is 1 where the earlier step {schema.labels[i - 1]!r} is 0"
        report_rows(too_early, name, rule, values, problems)
