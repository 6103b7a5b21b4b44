"""From what people have (lists, NumPy, pandas, Polars, Arrow) to the arrays of a signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.to_column import to_column, to_lists
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.nested import column_at, root_of, type_at
from tafe_tf.data.spelling.any_column import to_arrow_array
from tafe_tf.data.spelling.numbers import numbers_that_are_missing
from tafe_tf.schema import MISSING_TEXTS, Column, Dtype
from tafe_tf.serving.wire.errors import invalid

RANK = "rank"  # the signature whose user columns have one row

# Kinds of NumPy values that become a signature's type with no more than a rounding.
_LOSSLESS = {"i": "i", "f": "if"}


class InputType(NamedTuple):
    """What a signature takes as one of its inputs.

    Attributes:
        name: The schema's name of the type, such as "int64".
        dtype: The NumPy type; object for strings.
        rank: The number of dimensions: 1, or 2 for lists.
        column: The raw column that the input takes. Default: "", the one of the input's name.
        separator: The character between the values of a list in one text. Default: "|".
    """

    name: Dtype
    dtype: np.dtype
    rank: int
    column: str = ""
    separator: str = "|"


class Types(dict[str, InputType]):
    """What a signature takes, by the input's name.

    Attributes:
        missing: The texts that mean a missing value, see `Schema.missing`. Default:
            `MISSING_TEXTS`.
    """

    missing: tuple[str, ...] = MISSING_TEXTS


def types(inputs: Mapping[str, Any]) -> Types:
    """What a signature takes, by the input's name, from its `TensorInfo`s."""
    found = Types()
    for name, info in inputs.items():
        dtype = tf.dtypes.as_dtype(info.dtype)
        rank = len(info.tensor_shape.dim)
        found[name] = InputType(dtype.name, np.dtype(dtype.as_numpy_dtype), rank)
    return found


def to_arrays(columns: Any, inputs: Types, signature: str) -> tuple[dict[str, np.ndarray], int]:
    """Picks and converts the columns that a signature takes; further columns are left out.

    A value means what it means in a file that training reads, see the table in
    `tafe_tf.data.spelling`. Lists may be of unequal length, or texts with separators.

    Args:
        columns: A mapping from names to sequences, a pandas or Polars DataFrame or a pyarrow Table.
        inputs: What the signature takes; see `types`.
        signature: Its name. Only "rank" takes columns of one row beside longer ones.

    Returns:
        The arrays by input, [n] or [n, length], and n, the number of rows.

    Raises:
        ServingError: INVALID_ARGUMENT. The message names the column and, where one value is wrong,
            its row (counted from 1) and the value.
        TypeError: If `columns` is of no such kind.
    """
    named = _of_inputs(_by_name(columns), inputs)
    arrays = {}
    for name, wanted in inputs.items():
        column = wanted.column or name
        arrays[name] = _array(column, named[name], wanted, inputs.missing)
    rows = {name: len(array) for name, array in arrays.items()}
    counts = set(rows.values())
    if signature == RANK and len(counts) == 2:
        counts -= {1}
    if len(counts) > 1:
        raise invalid(f"columns must have as many rows as each other. Received: {rows}")
    return arrays, counts.pop()


def _of_inputs(named: Mapping[str, Any], inputs: Types) -> dict[str, Any]:
    """The columns by the input that takes each; they may go by the input's name too.

    Raises:
        ServingError: INVALID_ARGUMENT, with the columns that are missing.
    """
    found = {}
    missing = []
    for name, wanted in inputs.items():
        column = wanted.column or name
        if column in named:
            found[name] = named[column]
        elif (inner := _inside(named, column)) is not None:
            found[name] = inner
        elif name in named:
            found[name] = named[name]
        else:
            missing.append(column)
    if missing:
        given = ", ".join(map(str, named))
        raise invalid(f"columns are missing: {', '.join(sorted(missing))}; given are {given}")
    return found


def _inside(named: Mapping[str, Any], column: str) -> pa.Array | None:
    """What a dotted name finds inside a column of maps or structs; None if it finds nothing."""
    root = root_of(named, column)
    if root not in named:
        return None
    try:
        table = pa.table({root: to_arrow_array(named[root], root, "the request")})
    except DataError as error:
        raise invalid(str(error)) from None
    if type_at(table.schema, column) is None:
        return None
    return column_at(table, column)


def _by_name(columns: Any) -> Mapping[str, Any]:
    if isinstance(columns, pa.Table | pa.RecordBatch):
        return dict(zip(columns.column_names, columns.columns, strict=True))
    if isinstance(columns, Mapping):
        return columns
    if hasattr(columns, "columns"):  # a DataFrame; neither pandas nor Polars need be installed
        return {str(name): columns[name] for name in columns.columns}
    raise TypeError(
        "columns must be a mapping, a DataFrame or an Arrow table. "
        f"Received: {type(columns).__name__}"
    )


def _array(
    name: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
) -> np.ndarray:
    array = _directly(values, wanted, missing)
    if array is not None:
        return array
    return _through_arrow(name, values, wanted, missing)


def _directly(
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
) -> np.ndarray | None:
    """The array, within microseconds; None if a value has to be looked at by itself."""
    is_text = wanted.dtype.kind == "O"
    if not is_text and len(numbers_that_are_missing(missing, _target(wanted))):
        return None
    if _is_ready(values, wanted):
        ready: np.ndarray = values
        return ready
    if not _is_of_numpy(values):
        return None
    try:
        array = np.asarray(values, object if is_text else None)
    except ValueError:  # ragged
        return None
    if array.ndim != wanted.rank:
        return None
    if is_text:
        return array if _are_plain_texts(array, missing) else None
    if array.dtype.kind not in _LOSSLESS[wanted.dtype.kind]:
        return None
    if wanted.dtype.kind == "f":
        array = array.astype(np.float64, copy=False)  # as readers do: an integer is rounded twice
    return array.astype(wanted.dtype, copy=False)


def _target(wanted: InputType) -> pa.DataType:
    """The type in which a number is compared with what means a missing one."""
    return pa.int64() if wanted.dtype.kind == "i" else pa.float64()


def _is_of_numpy(values: Any) -> bool:
    """Whether NumPy takes the values as they are; other libraries have types that it lacks."""
    if isinstance(values, np.ma.MaskedArray):
        return False
    return isinstance(values, list | tuple | np.ndarray)


def _is_ready(values: Any, wanted: InputType) -> bool:
    """Whether the values are an array that can be sent as it is."""
    if not isinstance(values, np.ndarray) or isinstance(values, np.ma.MaskedArray):
        return False
    if values.dtype.kind == "O":
        return False
    return values.dtype == wanted.dtype and values.ndim == wanted.rank


def _are_plain_texts(array: np.ndarray, missing: Collection[str]) -> bool:
    """Whether all values are texts, none of which stands for a missing one."""
    flat = array.ravel()
    if not all(isinstance(value, (str, bytes)) for value in flat):
        return False
    distinct = set(flat)
    return distinct.isdisjoint(missing) and distinct.isdisjoint(map(str.encode, missing))


def _through_arrow(
    name: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
) -> np.ndarray:
    """Any other column, by the rules and with the error texts of the files that training reads."""
    column = Column(name=name, dtype=wanted.name, separator=wanted.separator)
    problems: list[Problem] = []
    try:
        array = _arrow(values, column)
        if wanted.rank == 2:
            found = to_lists(array, column, missing, problems, "the request")
        else:
            found = to_column(array, column, missing, problems, "the request")
    except DataError as error:
        raise invalid(str(error)) from None
    if problems:
        first = problems[0]
        raise invalid(
            f"column {name!r}, row {first.index + 1}: {first.rule}. Received: {first.value!r}"
        )
    return found.values


def _arrow(values: Any, column: Column) -> pa.Array:
    array = to_arrow_array(values, column.name, "the request", column.dtype)
    if isinstance(array, pa.ChunkedArray):
        return array.combine_chunks()
    return array
