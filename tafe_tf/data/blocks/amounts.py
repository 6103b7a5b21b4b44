"""The amount of raw rows: known where the last step happened, 0 where it did not."""

from __future__ import annotations

import numpy as np

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.report_rows import report_rows
from tafe_tf.schema import UNKNOWN, Amount

_MISSING = (
    "is missing where the last step happened; may_be_unknown = true in its task says that nobody "
    "knows such an amount"
)
_RULE = "an amount must be a finite number above 0 where the last step happened"
_LEAST = float(np.finfo(np.float32).tiny)  # training takes amounts as float32
_MOST = float(np.finfo(np.float32).max)


def read_amounts(
    values: np.ndarray,
    labels: np.ndarray,
    amount: Amount,
    problems: list[Problem],
) -> np.ndarray:
    """Checks the amounts of rows whose last step happened, and clears all others.

    Args:
        values: The column as numbers, NaN where it is missing, float64 [n].
        labels: 0, 1 or `UNKNOWN`, [n, N].
        amount: What the schema says of it.
        problems: Receives the rows that have no such amount.

    Returns:
        float64 [n], see `completed`.
    """
    happened = labels[:, -1] == 1
    is_missing = np.isnan(values)
    if not amount.may_be_unknown:
        report_rows(happened & is_missing, amount.column, _MISSING, values, problems)
    is_amount = (values >= _LEAST) & (values <= _MOST)
    is_wrong = happened & ~is_missing & ~is_amount
    report_rows(is_wrong, amount.column, _RULE, values, problems)
    return completed(values, labels)


def completed(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What the last label says of amounts.

    Args:
        values: Amounts, NaN where they are unknown, float64 [n].
        labels: 0, 1 or `UNKNOWN`, [n, N].

    Returns:
        The amount where the last step happened, 0 where it did not, and NaN where nobody knows
        whether it did, float64 [n].

    Example:
        >>> completed(np.array([5.0, 5.0, 5.0]), np.array([[1, 1], [1, 0], [1, -1]])).tolist()
        [5.0, 0.0, nan]
    """
    last = labels[:, -1]
    known = np.where(last == 1, values, 0.0)
    return np.where(last == UNKNOWN, np.nan, known)
