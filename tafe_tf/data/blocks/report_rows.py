"""Problems of the rows that a mask picks."""

from __future__ import annotations

import numpy as np

from tafe_tf.data.bad_rows import Problem


def report_rows(
    mask: np.ndarray,
    column: str,
    rule: str,
    values: np.ndarray,
    problems: list[Problem],
) -> None:
    """Adds a problem for each row where a mask [n] is true."""
    for index in np.flatnonzero(mask):
        problems.append(
            Problem(
                int(index),
                column,
                rule,
                values[index].item(),
            )
        )
