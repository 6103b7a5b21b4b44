"""From what people have (lists, NumPy, pandas, Arrow) to the arrays that a signature takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tafe_tf.data.bad_rows import Problem
from tafe_tf.data.blocks.convert import as_lists, to_column
from tafe_tf.schema import MISSING_TEXTS, Column, Dtype
from tafe_tf.serving.wire.errors import invalid

RANK = "rank"  # the signature whose user columns have one row

# Kinds of NumPy values that become a signature's type without a loss that anyone would mind.
_LOSSLESS = {"i": "i", "f": "iuf"}


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

    None is a missing value, and so is NaN among integers. Lists may be of unequal length.

    Args:
        columns: A mapping from names to sequences, a pandas DataFrame or a pyarrow Table.
        inputs: What the signature takes; see `types`.
        signature: Its name. Only "rank" takes columns of one row beside longer ones.

    Returns:
        The arrays by name, [n] or [n, length], and n, the number of rows.

    Raises:
        ServingError: INVALID_ARGUMENT. The message names the column and, where one value is wrong,
            its row (counted from 1) and the value.
        TypeError: If `columns` is none of the three kinds.
    """
    named = _of_inputs(_by_name(columns), inputs)
    arrays = {name: _array(name, named[name], wanted) for name, wanted in inputs.items()}
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
        elif name in named:
            found[name] = named[name]
        else:
            missing.append(column)
    if missing:
        given = ", ".join(map(str, named))
        raise invalid(f"columns are missing: {', '.join(sorted(missing))}; given are {given}")
    return found


def _by_name(columns: Any) -> Mapping[str, Any]:
    if isinstance(columns, pa.Table):
        return {name: columns.column(name).combine_chunks() for name in columns.column_names}
    if isinstance(columns, Mapping):
        return columns
    if hasattr(columns, "columns"):  # a DataFrame; pandas need not be installed
        return _by_name(pa.Table.from_pandas(columns, preserve_index=False))
    raise TypeError(
        "columns must be a mapping, a DataFrame or an Arrow table. "
        f"Received: {type(columns).__name__}"
    )


def _array(name: str, values: Any, wanted: InputType) -> np.ndarray:
    array = _directly(values, wanted)
    if array is not None:
        return array
    return _through_arrow(name, values, wanted)


def _directly(values: Any, wanted: InputType) -> np.ndarray | None:
    """The array, within microseconds; None if a value is missing, ragged or of another kind."""
    is_text = wanted.dtype.kind == "O"
    if _is_ready(values, wanted):
        return values
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return None
    try:
        array = np.asarray(values, object if is_text else None)
    except ValueError:  # ragged
        return None
    if array.ndim != wanted.rank:
        return None
    if is_text:
        all_texts = all(isinstance(value, (str, bytes)) for value in array.ravel())
        return array if all_texts else None
    if array.dtype.kind not in _LOSSLESS[wanted.dtype.kind]:
        return None
    return array.astype(wanted.dtype, copy=False)


def _is_ready(values: Any, wanted: InputType) -> bool:
    """Whether the values are an array that can be sent as it is."""
    if not isinstance(values, np.ndarray) or values.dtype.kind == "O":
        return False
    return values.dtype == wanted.dtype and values.ndim == wanted.rank


def _through_arrow(name: str, values: Any, wanted: InputType) -> np.ndarray:
    """Any other column, by the rules and with the error texts of the files that training reads."""
    problems: list[Problem] = []
    try:
        array = _arrow(values)
        max_length = _longest(array) if wanted.rank == 2 else 0
        column = Column(name=name, dtype=wanted.name, max_length=max_length)
        converted = to_column(array, column, problems)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise invalid(
            f"column {name!r}: cannot be sent as {wanted.name} of {wanted.rank} dimension(s): "
            f"{error}"
        ) from None
    if problems:
        first = problems[0]
        raise invalid(
            f"column {name!r}, row {first.index + 1}: {first.rule}. Received: {first.value!r}"
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
            _texts(plain)
        )  # numbers among texts: which is wrong, the column's rule says


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _longest(array: pa.Array) -> int:
    """The length of the longest list, at least 1."""
    lists = as_lists(array, Column(name="", dtype="string"))
    return max(1, pc.max(pc.list_value_length(lists)).as_py() or 0)
