"""How many rows know each label, as of a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.maturity import Now, without_immature
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.schema import UNKNOWN, Schema


def count_unknown(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    now: Now,
    bad_rows: BadRows,
) -> dict[str, Any]:
    """Counts the rows that do not know a label, in one pass.

    Args:
        files: The files.
        schema: Says when labels are known; it names a time.
        now: As of when labels are judged.
        bad_rows: What to do with bad rows.

    Returns:
        What the statistics of a run have of the same rows: "rows", and under "unknown_labels" how
        many of them do not know the label of each task.

    Raises:
        DataError: If a file cannot be read.
    """
    rows = 0
    unknown = np.zeros(len(schema.tasks), np.int64)
    for block in read_blocks(files, schema, bad_rows=bad_rows):  # all of a row, which may be bad
        judged = without_immature(block, schema, now)
        rows += len(judged.row)
        unknown += (judged.labels == UNKNOWN).sum(axis=0)
    names = [task.name for task in schema.tasks]
    return {
        "rows": rows,
        "unknown_labels": dict(zip(names, unknown.tolist(), strict=True)),
    }
