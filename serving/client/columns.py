"""From what people have (lists, NumPy, pandas, Polars, Arrow) to the arrays of a signature.

What NumPy holds as the signature wants it needs nothing but NumPy. For everything else pyarrow is
imported, and `arrow_columns` converts it by the rules of the files that training reads.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tafe_tf.data.errors import is_utf8
from tafe_tf.schema import ABSENT, MISSING_TEXTS, RANKS
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError, failed_precondition, invalid
from tafe_tf.shown import listed, shown

# Kinds of NumPy values that become a signature's type with no more than a rounding.
_LOSSLESS = {"i": "i", "f": "if"}


class InputType(NamedTuple):
    """What a signature takes as one of its inputs.

    Attributes:
        name: The name of the type, such as "int64". Columns of a type that no schema has, such as
            "bool", are not converted.
        dtype: The NumPy type; object for strings.
        rank: The number of dimensions: 1, or 2 for lists.
        column: The raw column that the input takes. Default: "", the one of the input's name.
        separator: The character between the values of a list in one text. Default: "|".
        length: The number of values of each list if it is fixed, as of a vector; a list without any
            is missing. Default: 0, any number.
        is_of_score: Whether it is an input of a score, such as a bid, which is a number, 0 or more,
            in every row. Default: False.
    """

    name: str
    dtype: np.dtype
    rank: int
    column: str = ""
    separator: str = "|"
    length: int = 0
    is_of_score: bool = False


class Types(dict[str, InputType]):
    """What a signature takes, by the input's name.

    Attributes:
        missing: The texts that mean a missing value, see `Schema.missing`. Default:
            `MISSING_TEXTS`.
    """

    missing: tuple[str, ...] = MISSING_TEXTS


def types(inputs: Mapping[str, Any]) -> Types:
    """What a signature takes, by the input's name, from its `TensorInfo`s.

    Raises:
        ServingError: FAILED_PRECONDITION, if an input is of a type that NumPy does not have.
    """
    found = Types()
    for name, info in inputs.items():
        dtype = tensors.numpy_type(info.dtype)
        if dtype is None:
            what = f"input {name!r} is of DataType {info.dtype}"
            raise failed_precondition(f"{what}, of which this client has no values")
        named = "string" if dtype.kind == "O" else dtype.name
        sizes = [dim.size for dim in info.tensor_shape.dim]
        length = max(sizes[1], 0) if len(sizes) == 2 else 0  # -1 is any
        found[name] = InputType(named, dtype, len(sizes), length=length)
    return found


def no_check() -> None:
    """There is no deadline to check."""


def to_arrays(
    columns: Any,
    inputs: Types,
    signature: str,
    check: Callable[[], None] = no_check,
) -> tuple[dict[str, np.ndarray], int]:
    """Picks and converts the columns that a signature takes; further columns are left out.

    A value means what it means in a file that training reads, see the table in
    `tafe_tf.data.spelling`. Lists may be of unequal length, or texts with separators.

    Args:
        columns: A mapping from names to sequences, a pandas or Polars DataFrame or a pyarrow Table.
        inputs: What the signature takes; see `types`.
        signature: Its name. Only "rank" and "rank_score" take columns of one row beside others.
        check: Is called often, between parts of the work, and raises to end it. Default: nothing.

    Returns:
        The arrays by input, [n] or [n, length], and n, the number of rows.

    Raises:
        ServingError: INVALID_ARGUMENT. The message names the column and, where one value is wrong,
            its row (counted from 1) and the value. FAILED_PRECONDITION if a column must be
            converted and pyarrow is not installed.
    """
    named = _of_inputs(_by_name(columns), inputs)
    arrays = {}
    for name, wanted in inputs.items():
        column = wanted.column or name
        check()
        array = _array(column, named[name], wanted, inputs.missing, check)
        if wanted.is_of_score:
            _check_of_score(column, array)
        if wanted.length:
            array = _of_length(column, array, wanted.length)
        arrays[name] = array
    rows = {name: len(array) for name, array in arrays.items()}
    counts = set(rows.values())
    if signature in RANKS and len(counts) == 2:
        counts -= {1}
    if len(counts) > 1:
        rule = "must have as many rows as each other"
        if signature in RANKS:
            rule += ", or one row if they are the user's"
        raise invalid(f"columns {rule}. Received: {rows}")
    return arrays, counts.pop()


def _check_of_score(column: str, array: np.ndarray) -> None:
    """Raises INVALID_ARGUMENT if an input of a score is missing, negative or infinite in a row."""
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if not len(wrong):
        return
    row = int(wrong[0])
    rule = "an input of the score must be a finite number, 0 or more, in every row"
    raise invalid(f"column {column!r}, row {row + 1}: {rule}. Received: {array[row].item()}")


def _of_length(column: str, array: np.ndarray, length: int) -> np.ndarray:
    """Vectors of one length, of lists that are padded with NaN.

    Raises:
        ServingError: INVALID_ARGUMENT if a row has neither that many finite numbers nor none.
    """
    width = array.shape[1]
    if width < length:
        array = np.pad(array, ((0, 0), (0, length - width)), constant_values=np.nan)
    is_present = ~np.isnan(array)
    present = is_present.sum(axis=1)
    is_whole = is_present[:, :length].all(axis=1) & (present == length)
    wrong = np.flatnonzero(~(is_whole | (present == 0)))
    if len(wrong):
        row = int(wrong[0])
        where = f"column {column!r}, row {row + 1}"
        rule = f"must hold exactly {length} numbers, or none"
        raise invalid(f"{where}: {rule}. Received: {int(present[row])}")
    infinite = np.flatnonzero(np.isinf(array).any(axis=1))
    if len(infinite):
        row = int(infinite[0])
        where = f"column {column!r}, row {row + 1}"
        finite = int(np.isfinite(array[row]).sum())
        raise invalid(f"{where}: must hold {length} finite numbers, or none. Received: {finite}")
    return array[:, :length]


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
        given = listed(map(str, named))
        raise invalid(f"columns are missing: {listed(sorted(missing))}; given are {given}")
    return found


def _inside(named: Mapping[str, Any], column: str) -> Any:
    """What a dotted name finds inside a column of maps or structs; None if it finds nothing."""
    if not any(column.startswith(f"{name}.") for name in named):
        return None
    return _arrow_columns(column).inside(named, column)


def _by_name(columns: Any) -> Mapping[str, Any]:
    if isinstance(columns, Mapping):
        return columns
    arrow = sys.modules.get("pyarrow")  # where nobody imported it, nothing is of its classes
    if arrow is not None and isinstance(columns, arrow.Table | arrow.RecordBatch):
        return dict(zip(columns.column_names, columns.columns, strict=True))
    if hasattr(columns, "columns"):  # a DataFrame; neither pandas nor Polars need be installed
        return {str(name): columns[name] for name in columns.columns}
    raise invalid(
        "columns must be a mapping, a DataFrame or an Arrow table. "
        f"Received: {type(columns).__name__}"
    )


def _arrow_columns(column: str) -> Any:
    """The module that converts columns by pyarrow.

    Raises:
        ServingError: FAILED_PRECONDITION, if pyarrow is not installed.
    """
    try:
        from tafe_tf.serving.client import arrow_columns
    except ModuleNotFoundError as error:
        raise failed_precondition(
            f"column {column!r} has to be converted, which takes {error.name}: `pip install "
            "pyarrow`, or give a NumPy array of what the model takes, see docs/clients.md"
        ) from None
    return arrow_columns


def _array(
    column: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
    check: Callable[[], None],
) -> np.ndarray:
    if _is_ready(values, wanted) and not _names_a_number(column, wanted, missing):
        ready: np.ndarray = values
        return ready
    if wanted.name not in ABSENT:
        rule = f"must be a NumPy array of {wanted.name} with {wanted.rank} dimension(s)"
        raise invalid(f"column {column!r} {rule}. Received: {shown(values)}")
    array = _directly(column, values, wanted, missing)
    if array is not None:
        return array
    converted: np.ndarray
    converted = _arrow_columns(column).to_array(column, values, wanted, missing, check)
    return converted


def _directly(
    column: str,
    values: Any,
    wanted: InputType,
    missing: tuple[str, ...],
) -> np.ndarray | None:
    """The array, within microseconds; None if a value has to be looked at by itself."""
    if not _is_of_numpy(values):
        return None
    is_text = wanted.name == "string"
    try:
        array = np.asarray(values, object if is_text else None)
    except ValueError:  # ragged
        return None
    if array.ndim != wanted.rank:
        return None
    if is_text:
        return _plain_texts(array, missing)
    if array.dtype.kind not in _LOSSLESS[wanted.dtype.kind]:
        return None
    if _names_a_number(column, wanted, missing):
        return None
    if wanted.dtype.kind == "f":
        array = array.astype(np.float64, copy=False)  # as readers do: an integer is rounded twice
    return array.astype(wanted.dtype, copy=False)


def _names_a_number(column: str, wanted: InputType, missing: tuple[str, ...]) -> bool:
    """Whether a text that means a missing value is a number of the type that is wanted."""
    if wanted.name not in ABSENT or not _may_name_a_number(missing):
        return False
    found: bool = _arrow_columns(column).names_a_number(missing, wanted.dtype.kind)
    return found


@functools.lru_cache
def _may_name_a_number(missing: tuple[str, ...]) -> bool:
    """Whether a text could be a number, in whatever spelling: "7", a date, "true"."""
    digits_or_booleans = any(character.isdigit() for text in missing for character in text)
    return digits_or_booleans or any(text.lower() in ("true", "false") for text in missing)


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
    return values.dtype == wanted.dtype and values.ndim == wanted.rank > 0


def _plain_texts(array: np.ndarray, missing: tuple[str, ...]) -> np.ndarray | None:
    """Texts with "" for each that means a missing value; None if a value is no text."""
    flat = array.ravel().tolist()
    if not set(map(type, flat)) <= {str, bytes}:
        return None
    missing_texts = _texts_and_bytes(missing)
    if missing_texts.isdisjoint(flat):
        return array
    present = ["" if text in missing_texts else text for text in flat]
    return np.array(present, object).reshape(array.shape)


@functools.lru_cache
def _texts_and_bytes(missing: tuple[str, ...]) -> frozenset[str | bytes]:
    return frozenset([*missing, *map(str.encode, missing)])


def no_utf8(arrays: Mapping[str, np.ndarray], inputs: Types) -> ServingError:
    """The error for the first text with half a surrogate pair, which UTF-8 cannot hold."""
    for name, array in arrays.items():
        rows = array.reshape(len(array), -1).tolist() if array.dtype.kind == "O" else []
        for row, values in enumerate(rows, start=1):
            wrong = [value for value in values if isinstance(value, str) and not is_utf8(value)]
            if wrong:
                column = inputs[name].column or name
                where = f"column {column!r}, row {row}"
                rule = "must be a text that UTF-8 holds"
                return invalid(f"{where}: {rule}. Received: {shown(wrong[0])}")
    return invalid("a name must be a text that UTF-8 holds")
