"""Columns whose values have no one meaning as the schema's dtype."""

from __future__ import annotations

import pyarrow as pa

from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.plain import is_list, name_of
from tafe_tf.schema import Column

_AS_TEXT = "or write the column as text"


def refusal(array: pa.Array, column: Column, source: str) -> DataError:
    """The error for a column of a type that has no values of its dtype, with the mend.

    Args:
        array: The column's values, or those of its lists.
        column: What the schema says.
        source: The file or the table.
    """
    declared: str = column.dtype
    if declared == "string":
        declared = "text"
    if column.max_length:
        declared = f"lists of {declared}"
    found = f"column {column.name!r} is {name_of(array.type)} in this table"
    mend = _mend(array.type, column)
    return DataError(f"{source}: {found} and {declared} in the schema: {mend}")


def _mend(kind: pa.DataType, column: Column) -> str:
    if is_list(kind):
        return "set max_length in its feature, which then holds lists"
    if pa.types.is_nested(kind):
        return "each value must be a single one; name the part of it that is meant"
    if column.max_length:
        return f"write lists, or texts with {column.separator!r} between the values"
    if column.dtype != "string":
        return 'set dtype = "string", for ids that are no numbers'
    if pa.types.is_boolean(kind):
        return f'set dtype = "int64", where true is 1, {_AS_TEXT}'
    is_fraction = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_fraction:
        return f'set dtype = "int64" if its values are whole, else kind = "quantile", {_AS_TEXT}'
    if pa.types.is_temporal(kind):
        return f'set dtype = "int64", which counts seconds, {_AS_TEXT}'
    return "it has no one text; write the column as text"
