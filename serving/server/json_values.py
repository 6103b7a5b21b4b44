"""A nested JSON value as a dense array of an input's type, with TensorFlow Serving's errors."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.serving.wire.errors import invalid

_SHOWN = 256  # characters of a value in an error
_MAX_RANK = 32  # levels of lists: more than any input has, fewer than NumPy allows
_LARGEST = sys.float_info.max  # integers of JSON may be larger
_ENCODER = json.JSONEncoder()
_CONSTANTS = {None: "Null", True: "True", False: "False"}
_TYPES: dict[type, str] = {str: "String", list: "Array", dict: "Object"}


def to_array(value: Any, info: Any) -> np.ndarray:
    """A dense array.

    Args:
        value: A JSON value, or lists of lists of them. The first ones decide on the shape.
        info: The input's `TensorInfo`, which decides on the type.

    Raises:
        ServingError: If a value has another type, or a list another length than those before it.
    """
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = _shape_of(value)
    if len(shape) > _MAX_RANK:
        raise invalid(f"JSON Value: {show(value)} has {len(shape)} levels; {_MAX_RANK} at most")
    flat: list[Any] = []
    _fill(flat, value, shape, 0, dtype)
    return np.array(flat, dtype.as_numpy_dtype).reshape(shape)


def check_alike(first: np.ndarray, array: np.ndarray) -> None:
    """Checks that two rows' values of one input have the same shape.

    Raises:
        ServingError: If they have not.
    """
    if first.size != array.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first.shape != array.shape:
        raise invalid(f"Expecting shape {_in_brackets(first)} but got: {_in_brackets(array)}")


def show(value: Any) -> str:
    """The beginning of a JSON value, as an error shows it; the rest is not made into text."""
    text = ""
    try:
        for piece in _ENCODER.iterencode(value):
            text += piece
            if len(text) >= _SHOWN:
                break
    except RecursionError:  # lists within lists; their brackets are there
        pass
    return text[:_SHOWN]


def is_base64(value: Any) -> bool:
    """Whether a JSON value is `{"b64": TEXT}`, which stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _shape_of(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _fill(flat: list[Any], value: Any, shape: list[int], level: int, dtype: tf.DType) -> None:
    """Appends a value, which is `level` lists deep, and checks that it has the shape."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _fill(flat, item, shape, level + 1, dtype)


def _scalar(value: Any, dtype: tf.DType) -> Any:
    if dtype == tf.string and isinstance(value, str):
        return value.encode()
    if dtype == tf.string and isinstance(value, dict):
        return _from_base64(value)
    if dtype == tf.bool and isinstance(value, bool):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and dtype.is_floating and abs(value) <= _LARGEST:
        return value
    if isinstance(value, float) and dtype.is_floating:  # an infinity, or none
        return value
    if is_number and dtype.is_integer and _fits(value, dtype):
        return value
    raise invalid(
        f"JSON Value: {show(value)} Type: {_kind(value)} is not of expected type: {dtype.name}"
    )


def _fits(value: float, dtype: tf.DType) -> bool:
    """Whether a number is an integer within a type's range; 7.0 is no integer."""
    return isinstance(value, int) and dtype.min <= value <= dtype.max


def _from_base64(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _kind(value: Any) -> str:
    """The name of a value's type in RapidJSON, which TensorFlow Serving reads with."""
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    return _TYPES.get(type(value), "Number")


def _in_brackets(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"
