"""The JSON documents of TensorFlow Serving's REST API, to arrays and back, with its error texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.serving.server.json_values import check_alike, is_base64, show, to_array
from tafe_tf.serving.wire.errors import ServingError, invalid

MAX_VALUES = (
    1 << 22
)  # of a request, about; reading so many takes seconds, in which nobody else runs
_VALUE_BYTES = 100  # that a value takes in memory at most, list or object around it included
_COPIES = 3  # of a body while it is read: itself, its text, and the texts in it
_HALF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


def count_values(body: bytearray) -> int:
    """The number of values in a body, at most; commas and brackets in texts count too."""
    return sum(body.count(sign) for sign in (b",", b"[", b"{"))


def bytes_to_read(body: bytearray, values: int) -> int:
    """The bytes of memory that reading a body takes at most.

    Args:
        body: A request's body.
        values: What `count_values` says of it.
    """
    return _COPIES * len(body) + _VALUE_BYTES * values


def parse(body: bytes | bytearray) -> dict[str, Any]:
    """Reads a request's body.

    Raises:
        ServingError: If it is no JSON object, or its "signature_name" is no text.
    """
    try:
        document = json.loads(body.decode())
        if _HALF_A_PAIR.search(body):
            _check_pairs(document)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return document


def _check_pairs(document: Any) -> None:
    """Refuses texts with half a surrogate pair, which are no Unicode.

    Raises:
        ValueError: As RapidJSON says it, which TensorFlow Serving reads with.
    """
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("The surrogate pair in string is invalid.") from None


def to_arrays(
    document: Mapping[str, Any], inputs: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], bool]:
    """Reads a request's rows.

    Args:
        document: What `parse` returned, with "instances" (a list of rows) or "inputs" (columns).
        inputs: The signature's `TensorInfo`s by name.

    Returns:
        The arrays by name, and whether the request came as rows, in which case so must the answer.

    Raises:
        ServingError: With what is wrong, and with the row and the column if it is one value.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' "
            "or 'instances' keys to exist "
        )
    if "inputs" in document:
        return _from_columns(document["inputs"], inputs), False
    if "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
    return _from_rows(rows, inputs), True


def _from_columns(value: Any, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_base64(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {name: value for name in inputs}
    for name in inputs:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_array(value[name], info) for name, info in inputs.items()}


def _from_rows(rows: list[Any], inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    named = _is_object(rows[0])
    if not named and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    columns: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    for number, row in enumerate(rows):
        if _is_object(row) != named:
            wanted, found = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {wanted} but got {found} at item {number} of input list")
        values = row if named else {name: row for name in inputs}
        _append_row(columns, number, values, inputs)
    return {name: np.stack(arrays) for name, arrays in columns.items()}


def _append_row(
    columns: dict[str, list[np.ndarray]],
    number: int,
    row: Mapping[str, Any],
    inputs: Mapping[str, Any],
) -> None:
    """Appends one row's values to the columns."""
    where = f"Failed to process element: {number}"
    for name, value in row.items():
        if name not in inputs:
            raise invalid(
                f"{where} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {name}"
            )
        try:
            columns[name].append(to_array(value, inputs[name]))
            check_alike(columns[name][0], columns[name][-1])
        except ServingError as error:
            raise invalid(f"{where} key: {name} of 'instances' list. Error: {error}") from None
    if set(row) != set(inputs):
        raise invalid(
            f"{where} of 'instances' list. JSON object: {show(row)} keys must be equal to: "
            f"{','.join(sorted(inputs))}"
        )


def _is_object(value: Any) -> bool:
    """Whether a row names its values; `{"b64": TEXT}` is a value itself."""
    return isinstance(value, dict) and not is_base64(value)


def from_arrays(outputs: Mapping[str, np.ndarray], as_rows: bool) -> dict[str, Any]:
    """The answer to a request.

    Args:
        outputs: Arrays by name, [n] each.
        as_rows: Whether the request came as rows.

    Returns:
        "predictions" with one object a row, or "outputs" with one list a column. A single output
        is given without its name.
    """
    columns = {name: _plain(array) for name, array in sorted(outputs.items())}
    first = next(iter(columns.values()))
    if not as_rows:
        return {"outputs": columns if len(columns) > 1 else first}
    if len(columns) == 1:
        return {"predictions": first}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _plain(array: np.ndarray) -> list[Any]:
    """Python values; a float32 as the shortest decimal that reads back as the same float32."""
    flat: list[Any] = array.ravel().tolist()
    if array.dtype == np.float32:
        flat = [float(str(x)) for x in array.ravel()]
    elif array.dtype == object:
        flat = [x.decode(errors="replace") for x in array.ravel()]
    values = np.array(flat, object).reshape(array.shape)
    plain: list[Any] = values.tolist()
    return plain
