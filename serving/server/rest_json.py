"""JSON of TensorFlow Serving's REST API <-> arrays."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.serving.wire.errors import ServingError, invalid

_SHOWN = 256  # characters of a value in an error
_KINDS = {None: "Null", True: "True", False: "False"}


def parse(body: bytes) -> dict[str, Any]:
    """The request as an object.

    Raises:
        ServingError: if it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_show(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return document


def to_arrays(
    document: Mapping[str, Any], inputs: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], bool]:
    """The request's rows.

    Args:
        document: as `parse` gave it, with "instances" (a list of rows) or "inputs" (columns).
        inputs: `TensorInfo`s of the signature by name.

    Returns:
        Arrays by name, and whether the request came as rows, as then must the answer.

    Raises:
        ServingError: naming the row and the column.
    """
    if ("instances" in document) == ("inputs" in document):
        if "instances" not in document:
            raise invalid("Missing 'inputs' or 'instances' key")
        raise invalid(
            f"JSON Value: {_show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "inputs" in document:
        return _from_columns(document["inputs"], inputs), False
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {_show(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {_show(document)} No values in 'instances' array")
    return _from_rows(rows, inputs), True


def _from_columns(value: Any, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or _is_base64(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {name: value for name in inputs}
    for name in inputs:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(value[name], info) for name, info in inputs.items()}


def _from_rows(rows: list[Any], inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    is_object = _is_row(rows[0])
    if not is_object and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    for number, row in enumerate(rows):
        where = f"Failed to process element: {number}"
        if _is_row(row) != is_object:
            wanted, found = ("object", "list") if is_object else ("value/list", "object")
            raise invalid(f"Expecting {wanted} but got {found} at item {number} of input list")
        if not is_object:
            row = {name: row for name in inputs}
        for name, value in row.items():
            if name not in inputs:
                raise invalid(f"{where} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does "
                              f"not have named input: {name}")  # fmt: skip
            try:
                columns[name].append(_array(value, inputs[name]))
                _check_alike(columns[name][0], columns[name][-1])
            except ServingError as error:
                raise invalid(f"{where} key: {name} of 'instances' list. Error: {error}") from None
        if set(row) != set(inputs):
            raise invalid(
                f"{where} of 'instances' list. JSON object: {_show(row)} keys must be equal to: "
                f"{','.join(sorted(inputs))}"
            )
    return {name: np.stack(arrays) for name, arrays in columns.items()}


def _check_alike(first: np.ndarray, array: np.ndarray) -> None:
    if first.size != array.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first.shape != array.shape:
        raise invalid(f"Expecting shape {_shape(first)} but got: {_shape(array)}")


def _array(value: Any, info: Any) -> np.ndarray:
    """A dense array of the input's type, of the shape that the first values have."""
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat: list[Any] = []
    _fill(flat, value, shape, 0, dtype)
    return np.array(flat, dtype.as_numpy_dtype).reshape(shape)


def _fill(flat: list[Any], value: Any, shape: list[int], level: int, dtype: tf.DType) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_show(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        flat.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(flat, item, shape, level + 1, dtype)


def _scalar(value: Any, dtype: tf.DType) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype == tf.string and isinstance(value, str):
        return value.encode()
    if dtype == tf.string and isinstance(value, dict):
        return _from_base64(value)
    if dtype.is_floating and is_number:
        return value
    if (
        dtype.is_integer
        and is_number
        and isinstance(value, int)
        and dtype.min <= value <= dtype.max
    ):
        return value
    if dtype == tf.bool and isinstance(value, bool):
        return value
    raise invalid(
        f"JSON Value: {_show(value)} Type: {_kind(value)} is not of expected type: {dtype.name}"
    )


def _from_base64(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_show(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _KINDS[value]
    names: dict[type, str] = {str: "String", list: "Array", dict: "Object"}
    return names.get(type(value), "Number")


def _show(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def from_arrays(outputs: Mapping[str, np.ndarray], as_rows: bool) -> dict[str, Any]:
    """The answer: "predictions", one a row, or "outputs", by column; without names where there is one output."""
    columns = {name: _plain(array) for name, array in sorted(outputs.items())}
    if not as_rows:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {
        "predictions": [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    }


def _plain(array: np.ndarray) -> list[Any]:
    """Python values; a float32 as the shortest decimal that reads back as the same float32."""
    if array.dtype == np.float32:
        array = np.array([float(str(x)) for x in array.ravel()], np.float64).reshape(array.shape)
    if array.dtype == object:
        array = np.array([x.decode(errors="replace") for x in array.ravel()], object).reshape(
            array.shape
        )
    plain: list[Any] = array.tolist()
    return plain
