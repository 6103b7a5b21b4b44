"""NumPy arrays to `TensorProto`s and back.

`tf.make_tensor_proto` and `tf.make_ndarray` do the same, but take 16 and 7 us a tensor, which is a
third of a millisecond for a request of 18 columns, and they believe any shape that a proto states.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tafe_tf.serving.wire.messages import DATA_TYPES

_REPEATED_LIMIT = 1 << 20  # elements that a proto may leave to its last value
# The field that holds values one by one -> the types that it holds, and NumPy's for each.
_FIELDS: dict[str, dict[str, Any]] = {
    "float_val": {"DT_FLOAT": np.float32},
    "double_val": {"DT_DOUBLE": np.float64},
    "int64_val": {"DT_INT64": np.int64},
    "int_val": {
        "DT_INT32": np.int32,
        "DT_INT16": np.int16,
        "DT_INT8": np.int8,
        "DT_UINT8": np.uint8,
        "DT_UINT16": np.uint16,
    },
    "uint32_val": {"DT_UINT32": np.uint32},
    "uint64_val": {"DT_UINT64": np.uint64},
    "bool_val": {"DT_BOOL": np.bool_},
    "string_val": {"DT_STRING": np.object_},
}
# Number of a type -> its NumPy type, and the field that holds its values one by one.
_TYPES: dict[int, tuple[np.dtype, str]] = {}
for _field, _named in _FIELDS.items():
    for _name, _numpy_type in _named.items():
        _TYPES[DATA_TYPES[_name]] = (np.dtype(_numpy_type), _field)
_NUMBERS = {dtype: number for number, (dtype, _) in _TYPES.items()}
_OBJECT = np.dtype(object)


def numpy_type(number: int) -> np.dtype | None:
    """The NumPy type of values of a `DataType`, object for strings; None if there is none."""
    dtype, _ = _TYPES.get(number, (None, ""))
    return dtype


def encode(array: np.ndarray, proto: Any, *, as_fields: bool = False) -> None:
    """Fills an empty `TensorProto`.

    Args:
        array: Numbers, booleans, or str or bytes objects, of any shape.
        proto: The proto to fill, of `messages.TensorProto` or of TensorFlow's class.
        as_fields: Store one field a value (`float_val`, ...), as TensorFlow Serving answers. By
            default the values are stored as raw bytes, which is faster.

    Raises:
        TypeError: If the array holds anything else.
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
        texts = array.ravel()
        proto.string_val.extend(
            [text.encode() if isinstance(text, str) else text for text in texts]
        )
    elif as_fields:
        getattr(proto, _TYPES[number][1]).extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()


def decode(proto: Any) -> np.ndarray:
    """Reads a `TensorProto`.

    As in TensorFlow, the last of too few values stands for the rest, and no value at all for zeros.

    Args:
        proto: A `messages.TensorProto`, or one of TensorFlow's class.

    Returns:
        An array, which may be read-only. Strings become an object array of bytes.

    Raises:
        ValueError: If the type, the shape and the content do not fit together.
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
    too_many = len(values) > count
    too_few = len(values) < count and count > _REPEATED_LIMIT
    if too_many or too_few:
        raise ValueError(f"{len(values)} values are no tensor of {count} elements")
    if values and dtype.kind in "iu" and dtype.itemsize < 4:  # their field holds 32 bits
        limits = np.iinfo(dtype)
        for value in (min(values), max(values)):
            if not limits.min <= value <= limits.max:
                raise ValueError(f"{value} is out of bounds for {dtype}")
    array = np.empty(count, dtype)
    array[: len(values)] = values
    nothing: Any = b"" if dtype is _OBJECT else 0
    array[len(values) :] = values[-1] if values else nothing
    return array
