"""NumPy arrays <-> TensorProto.

`tf.make_tensor_proto` and `tf.make_ndarray` do the same, but take 16 and 7 us a tensor, which for a request of 18
columns is a third of a millisecond, and believe any shape that a proto states.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

_REPEATED_LIMIT = 1 << 20  # elements that one value may stand for
_FIELDS: dict[str, dict[int, Any]] = {
    "float_val": {types_pb2.DT_FLOAT: np.float32},
    "double_val": {types_pb2.DT_DOUBLE: np.float64},
    "int64_val": {types_pb2.DT_INT64: np.int64},
    "int_val": {
        types_pb2.DT_INT32: np.int32,
        types_pb2.DT_INT16: np.int16,
        types_pb2.DT_INT8: np.int8,
        types_pb2.DT_UINT8: np.uint8,
        types_pb2.DT_UINT16: np.uint16,
    },
    "uint32_val": {types_pb2.DT_UINT32: np.uint32},
    "uint64_val": {types_pb2.DT_UINT64: np.uint64},
    "bool_val": {types_pb2.DT_BOOL: np.bool_},
    "string_val": {types_pb2.DT_STRING: np.object_},
}
_TYPES = {
    number: (np.dtype(x), field) for field, types in _FIELDS.items() for number, x in types.items()
}
_NUMBERS = {dtype: number for number, (dtype, _) in _TYPES.items()}
_OBJECT = np.dtype(object)


def encode(array: np.ndarray, proto: tensor_pb2.TensorProto, *, as_fields: bool = False) -> None:
    """Fills an empty TensorProto.

    Args:
        array: of numbers, booleans, or str or bytes objects; any shape.
        proto: to fill.
        as_fields: one field a value (`float_val`, ...), as TensorFlow Serving answers, instead of raw bytes.

    Raises:
        TypeError: if it holds anything else.
    """
    if array.dtype.kind in "SU":
        array = array.astype(object)
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise TypeError(f"cannot send values of type {array.dtype}")
    proto.dtype = number
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == _OBJECT:
        proto.string_val.extend([v.encode() if isinstance(v, str) else v for v in array.ravel()])
    elif as_fields:
        getattr(proto, _TYPES[number][1]).extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Reads a TensorProto; strings become an object array of bytes. The array may be read-only.

    As in TensorFlow, the last of too few values stands for the rest, and no value for zeros.

    Raises:
        ValueError: if type, shape and content do not belong together.
    """
    if proto.dtype not in _TYPES:
        raise ValueError(f"type {proto.dtype} is not supported")
    dtype, field = _TYPES[proto.dtype]
    dims = proto.tensor_shape
    shape = [dimension.size for dimension in dims.dim]
    if dims.unknown_rank or min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} is not known")
    count = math.prod(shape)
    content = proto.tensor_content
    if not content:
        return _from_fields(getattr(proto, field), count, dtype).reshape(shape)
    if dtype is _OBJECT or len(content) != count * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are no {dtype} of shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape)


def _from_fields(values: Any, count: int, dtype: np.dtype) -> np.ndarray:
    if len(values) > count or (len(values) < count and count > _REPEATED_LIMIT):
        raise ValueError(f"{len(values)} values are no tensor of {count} elements")
    array = np.empty(count, dtype)
    try:
        array[: len(values)] = values
    except OverflowError as error:
        raise ValueError(str(error)) from None
    array[len(values) :] = values[-1] if values else (b"" if dtype is _OBJECT else 0)
    return array
