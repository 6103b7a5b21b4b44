"""One column of any library as an Arrow array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.errors import DataError
from tafe_tf.data.spelling.objects import NoMeaningError, of_datetimes, of_objects
from tafe_tf.schema import Dtype
from tafe_tf.shown import cut, shown


def to_arrow_array(
    values: Any,
    column: str,
    source: str,
    dtype: Dtype | None = None,
) -> pa.Array | pa.ChunkedArray:
    """Takes a column of any library as an Arrow array, with NaN and the like as missing values.

    Args:
        values: An Arrow array, a pandas or Polars Series, a NumPy array of one or two dimensions
            (masked or not), or a list of Python's values or of lists of them.
        column: The column's name, for messages.
        source: What error messages call the table.
        dtype: The dtype that the schema gives the column, for values of several kinds, see
            `objects.of_objects`. Default: None.

    Raises:
        DataError: If the values are no column, have no Arrow type, or have no one meaning.

    Example:
        >>> to_arrow_array(["a", None, 7], "item", "rows").to_pylist()
        ['a', None, '7']
    """
    try:
        return _array(values, dtype)
    except NoMeaningError as error:
        raise DataError(f"{source}: row {error.index + 1}, column {column!r}: {error}") from None
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{source}: column {column!r} has no Arrow type: {cut(str(error))}"
        ) from None
    except _NoColumnError:
        rule = "must be a list, or an array of one or two dimensions"
        raise DataError(f"{source}: column {column!r} {rule}. Received: {shown(values)}") from None


class _NoColumnError(Exception):
    """A value is no column at all."""


def is_of_pandas(value: Any) -> bool:
    """Whether a value is of a class of pandas, which need not be installed."""
    package, _, _ = type(value).__module__.partition(".")
    return package == "pandas"


def _array(values: Any, dtype: Dtype | None) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if is_of_pandas(values) and hasattr(values, "dtype"):
        if values.dtype == object:
            return of_objects(values.tolist(), dtype)
        return pa.array(values, from_pandas=True)
    if isinstance(values, np.ma.MaskedArray):
        return _of_masked(values, dtype)
    if str(getattr(values, "dtype", "")) == "Object":  # Polars would give the objects' addresses
        return of_objects(values.to_list(), dtype)
    if hasattr(values, "__arrow_c_stream__"):
        return pa.chunked_array(values)
    if hasattr(values, "__array__"):
        values = np.asarray(values)
    if isinstance(values, np.ndarray):
        return _of_numpy(values, dtype)
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        return of_objects(values, dtype)
    raise _NoColumnError


def _of_masked(values: np.ma.MaskedArray, dtype: Dtype | None) -> pa.Array:
    """A masked array; what is masked is missing."""
    if values.ndim > 2 or values.ndim == 0:
        raise _NoColumnError
    return of_objects(_with_none(values), dtype)


def _with_none(values: np.ma.MaskedArray) -> list[Any]:
    is_masked = np.ma.getmaskarray(values)
    objects = np.asarray(values.data).astype(object)
    if values.dtype.kind in "mM":  # as objects they would lose their unit
        objects[...] = np.array(list(values.data.ravel()), object).reshape(values.shape)
    objects[is_masked] = None
    plain: list[Any] = objects.tolist()
    return plain


def _of_numpy(values: np.ndarray, dtype: Dtype | None) -> pa.Array:
    if values.ndim not in (1, 2):
        raise _NoColumnError
    kind = values.dtype.kind
    if kind in "OT":
        return of_objects(values.astype(object).tolist(), dtype)
    if values.ndim == 2:
        return _of_matrix(values, dtype)
    if kind in "mM":
        return of_datetimes(values)
    if values.dtype == np.longdouble:
        values = values.astype(np.float64)
    return pa.array(values, from_pandas=True)


def _of_matrix(values: np.ndarray, dtype: Dtype | None) -> pa.Array:
    """A list for each row of an array of two dimensions."""
    rows, length = values.shape
    entries = _of_numpy(values.reshape(-1), dtype)
    offsets = pa.array(np.arange(rows + 1) * length, pa.int64())
    return pa.LargeListArray.from_arrays(offsets, entries)
