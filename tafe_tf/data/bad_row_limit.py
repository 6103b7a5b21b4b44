"""How many rows a job may drop before it stops."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tafe_tf.data.errors import BadRowError
from tafe_tf.shown import shown

NO_LIMIT = ""
DEFAULT = "1%"
A_FEW = 100  # rows that a share allows in any case: one bad row of fifty is no damage
_REASONS = 3  # that the error names
_COUNT = re.compile(r"\d{1,18}\Z")
_SHARE = re.compile(r"(\d+(?:\.\d*)?)%\Z")


def check_limit(limit: str) -> None:
    """Finds that a limit is one.

    Args:
        limit: A number of rows such as "1000", a share of the rows such as "1%", or `NO_LIMIT`.

    Raises:
        ValueError: If it is anything else.
    """
    share = _SHARE.match(limit)
    is_share = share is not None and float(share.group(1)) <= 100.0
    if limit != NO_LIMIT and not _COUNT.match(limit) and not is_share:
        rule = "must be a number of rows such as 1000, or a share of them such as 1%"
        raise ValueError(f"max_bad_rows {rule}. Received: {shown(limit)}")


def allowed(limit: str, rows: int) -> int | None:
    """How many of some rows may be dropped.

    Args:
        limit: See `check_limit`. A share allows 100 rows in any case.
        rows: The number of all rows, dropped ones included.

    Returns:
        The number; None if there is no limit.

    Example:
        >>> allowed("1%", 1_000_000), allowed("1%", 50), allowed("7", 50)
        (10000, 100, 7)
    """
    if limit == NO_LIMIT:
        return None
    share = _SHARE.match(limit)
    if share is None:
        return int(limit)
    return max(A_FEW, int(rows * float(share.group(1)) / 100.0))


def is_count(limit: str) -> bool:
    """Whether a limit is a number of rows, which may be passed before all rows are read."""
    return _COUNT.match(limit) is not None


def check_dropped(
    limit: str,
    dropped: int,
    rows: int,
    reasons: Sequence[object],
) -> None:
    """Finds that a job did not drop too many rows.

    Args:
        limit: See `check_limit`.
        dropped: How many rows were dropped.
        rows: How many rows were read, dropped ones included.
        reasons: Why they were dropped, the first of them for the error.

    Raises:
        BadRowError: If there are more than the limit allows.
    """
    most = allowed(limit, rows)
    if most is None or dropped <= most:
        return
    first = "; ".join(str(reason) for reason in reasons[:_REASONS])
    many = f"{dropped:,} of {rows:,} rows are bad, and --max_bad_rows={limit} allows {most:,}"
    raise BadRowError(f"{many}: {first}. Mend the file, or allow more rows by --max_bad_rows")
