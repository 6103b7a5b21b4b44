"""The lists of a column, as its values one after the other and the length of each list."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.spelling.missing_texts import without_missing
from tafe_tf.data.spelling.plain import is_bytes, is_list, is_text, plain
from tafe_tf.data.spelling.refusal import refusal
from tafe_tf.schema import Column


def split(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    source: str,
) -> tuple[pa.Array, np.ndarray]:
    """Takes the lists of a column apart.

    Args:
        array: Lists of any kind, or texts, which are split at the column's separator, [n].
        column: What the schema says of them.
        missing: The texts that mean a missing value. A whole list may be one.
        source: The file or the table, for messages.

    Returns:
        The values of all lists, not yet spelled; and the length of each list, int64 [n], which is 0
        for one that is missing.

    Raises:
        DataError: If the array holds neither lists nor texts, and not all of it is missing.

    Example:
        >>> import pyarrow as pa
        >>> from tafe_tf.schema import Column
        >>> column = Column(name="tags", dtype="string", max_length=3)
        >>> values, lengths = split(pa.array(["red|blue", "", "red"]), column, (), "a.csv")
        >>> values.to_pylist(), lengths.tolist()
        (['red', 'blue', 'red'], [2, 0, 1])
    """
    array = plain(array)
    kind = array.type
    if is_text(kind) or is_bytes(kind):
        cells = without_missing(array, missing)
        array = pc.split_pattern(cells, column.separator)
    elif not is_list(kind):
        if array.null_count < len(array):
            raise refusal(array, column, source)
        return pa.nulls(0), np.zeros(len(array), np.int64)
    lengths = pc.list_value_length(array)
    present = pc.if_else(array.is_valid(), lengths, 0)
    counts = present.to_numpy(zero_copy_only=False)
    return array.flatten(), counts.astype(np.int64)
