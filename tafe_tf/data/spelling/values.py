"""One function that spells raw values, for files, tables in memory and requests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.spelling.numbers import numbers
from tafe_tf.data.spelling.texts import texts
from tafe_tf.schema import Column


def spelled(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    problems: list[Problem],
    owner: np.ndarray,
    source: str,
) -> pa.Array:
    """Gives single values as the schema means them, see the table in `tafe_tf.data.spelling`.

    Args:
        array: The values of a column, or those of its lists one after the other, [n].
        column: Says as what dtype.
        missing: The texts that mean a missing value, see `Schema.missing`.
        problems: Receives a problem for each value that the dtype cannot hold.
        owner: The row of each value in its block, [n], for the problems.
        source: The file or the table, for messages.

    Returns:
        [n]: texts, or bytes where the array holds bytes, for dtype "string", and otherwise numbers
        of the dtype. A missing value, or one with a problem, is null; a missing float may be NaN.

    Raises:
        DataError: If values of the array's type have no meaning as the dtype, and not all of them
            are missing. The message names the mend.

    Example:
        >>> import numpy as np
        >>> import pyarrow as pa
        >>> from tafe_tf.data.bad_rows import Problem
        >>> from tafe_tf.schema import MISSING_TEXTS, Column
        >>> problems: list[Problem] = []
        >>> column = Column(name="item", dtype="int64")
        >>> array = pa.array(["7", "3.0", "true", "NA", "x"])
        >>> spelled(array, column, MISSING_TEXTS, problems, np.arange(5), "a.csv").to_pylist()
        [7, 3, 1, None, None]
        >>> [(problem.index, problem.value) for problem in problems]
        [(4, 'x')]
    """
    if column.dtype == "string":
        return texts(array, column, missing, source)
    found = numbers(array, column, missing, problems, owner, source)
    if column.dtype == "float32":
        return found.cast(pa.float32(), safe=False)
    return found
