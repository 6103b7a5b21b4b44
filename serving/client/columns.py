"""What people have (lists, NumPy, pandas, Arrow) -> the arrays that a signature takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.convert import as_lists, to_column
from tafe_tf.schema import Column, Dtype
from tafe_tf.serving.wire.errors import invalid

RANK = "rank"  # the signature whose user columns have one row
Types = dict[
    str, tuple[Dtype, np.dtype, int]
]  # of a signature's inputs: name, NumPy type and number of dimensions


def types(inputs: Mapping[str, Any]) -> Types:
    """What a signature takes, from its `TensorInfo`s."""
    found: Types = {}
    for name, info in inputs.items():
        dtype = tf.dtypes.as_dtype(info.dtype)
        found[name] = (dtype.name, np.dtype(dtype.as_numpy_dtype), len(info.tensor_shape.dim))
    return found


def to_arrays(columns: Any, inputs: Types, signature: str) -> tuple[dict[str, np.ndarray], int]:
    """Picks and converts the columns that a signature takes; further ones are left alone.

    None, and NaN among integers, are missing values. Lists may be of unequal length.

    Args:
        columns: a mapping from names to sequences, a pandas DataFrame or a pyarrow Table.
        inputs: what the signature takes, see `types`.
        signature: its name; only "rank" takes columns of one row beside longer ones.

    Returns:
        Arrays, [n] or [n, length], by name, and n, the number of rows.

    Raises:
        ServingError: INVALID_ARGUMENT, naming the column and, if it is a value, the row from 1 and the value.
    """
    named = _by_name(columns)
    missing = sorted(set(inputs) - set(named))
    if missing:
        raise invalid(
            f"columns are missing: {', '.join(missing)}; given are {', '.join(map(str, named))}"
        )
    arrays = {name: _array(name, named[name], *kind) for name, kind in inputs.items()}
    rows = {name: len(array) for name, array in arrays.items()}
    counts = set(rows.values())
    if signature == RANK and len(counts) == 2:
        counts -= {1}
    if len(counts) > 1:
        raise invalid(f"columns must have as many rows as each other. Received: {rows}")
    return arrays, counts.pop()


def _by_name(columns: Any) -> Mapping[str, Any]:
    if isinstance(columns, pa.Table):
        return {name: columns.column(name).combine_chunks() for name in columns.column_names}
    if isinstance(columns, Mapping):
        return columns
    if hasattr(columns, "columns"):  # a DataFrame; pandas need not be installed
        return _by_name(pa.Table.from_pandas(columns, preserve_index=False))
    raise TypeError(
        f"columns must be a mapping, a DataFrame or an Arrow table. Received: {type(columns).__name__}"
    )


def _array(name: str, values: Any, kind: Dtype, dtype: np.dtype, rank: int) -> np.ndarray:
    array = _directly(values, dtype, rank)
    return _through_arrow(name, values, kind, rank) if array is None else array


def _directly(values: Any, dtype: np.dtype, rank: int) -> np.ndarray | None:
    """The array where nothing is missing, of another kind, or ragged: a few microseconds."""
    if (
        isinstance(values, np.ndarray)
        and values.dtype == dtype
        and dtype.kind != "O"
        and values.ndim == rank
    ):
        return values
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return None
    try:
        array = np.asarray(values, object if dtype.kind == "O" else None)
    except ValueError:  # ragged
        return None
    if array.ndim != rank:
        return None
    if dtype.kind == "O":
        return array if all(isinstance(value, (str, bytes)) for value in array.ravel()) else None
    return (
        array.astype(dtype, copy=False)
        if array.dtype.kind in {"i": "i", "f": "iuf"}[dtype.kind]
        else None
    )


def _through_arrow(name: str, values: Any, dtype: Dtype, rank: int) -> np.ndarray:
    """Any other column, with the rules and the texts of the files that training reads."""
    try:
        array = _arrow(values)
        column = Column(name=name, dtype=dtype, max_length=_longest(array) if rank == 2 else 0)
        problems: list[Problem] = []
        converted = to_column(array, column, problems)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise invalid(
            f"column {name!r}: cannot be sent as {dtype} of {rank} dimension(s): {error}"
        ) from None
    for problem in problems:
        raise invalid(
            f"column {name!r}, row {problem.index + 1}: {problem.rule}. Received: {problem.value!r}"
        )
    return converted


def _arrow(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    try:
        return pa.array(plain)
    except pa.ArrowException:
        if any(isinstance(value, list) for value in plain):
            raise
        return pa.array(
            [None if value is None else str(value) for value in plain]
        )  # numbers and texts: one is wrong


def _longest(array: pa.Array) -> int:
    lists = as_lists(array, Column(name="", dtype="string"))
    return max(1, pc.max(pc.list_value_length(lists)).as_py() or 0)
