"""JSON of the REST API: by row, by column, numbers, and every error text."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from signature_infos import tensor_infos

from tafe_tf.serving.server import json_values, rest_json
from tafe_tf.serving.wire.errors import ServingError

SHOP_INFO = tensor_infos(user="string", item="int64", price="float32", tags="strings")


ROW = {"user": "u1", "item": 7, "price": 9.5, "tags": ["red", "blue"]}


def test_json_by_row_and_by_column_are_the_same() -> None:
    by_row, as_rows = rest_json.to_arrays({"instances": [ROW, ROW]}, SHOP_INFO)
    by_column, not_rows = rest_json.to_arrays(
        {"inputs": {name: [value] * 2 for name, value in ROW.items()}}, SHOP_INFO
    )
    assert as_rows and not not_rows
    for name, info in SHOP_INFO.items():
        np.testing.assert_array_equal(by_row[name], by_column[name])
        assert by_row[name].dtype == tf.dtypes.as_dtype(info.dtype).as_numpy_dtype
    assert by_row["tags"].tolist() == [[b"red", b"blue"]] * 2


def test_json_of_one_input() -> None:
    one = tensor_infos(examples="string")
    b64 = {"b64": "AP8="}
    for document in (
        {"instances": [b64, "x"]},
        {"inputs": [b64, "x"]},
        {"inputs": {"examples": [b64, "x"]}},
    ):
        arrays, _ = rest_json.to_arrays(document, one)
        assert arrays["examples"].tolist() == [b"\x00\xff", b"x"]
    assert rest_json.to_arrays({"instances": [{"examples": "x"}]}, one)[0]["examples"].tolist() == [
        b"x"
    ]


def test_json_numbers() -> None:
    arrays, _ = rest_json.to_arrays(
        rest_json.parse(b'{"inputs": [NaN, Infinity, 1, 2.5]}'), tensor_infos(price="float32")
    )
    np.testing.assert_array_equal(arrays["price"], np.array([np.nan, np.inf, 1, 2.5], np.float32))
    answer = rest_json.from_arrays(
        {"ctr": np.array([0.1, 1 / 3], np.float32), "n": np.array([1, 2])}, as_rows=True
    )
    assert answer == {"predictions": [{"ctr": 0.1, "n": 1}, {"ctr": 0.33333334, "n": 2}]}
    read = np.array(
        [row["ctr"] for row in json.loads(json.dumps(answer))["predictions"]], np.float32
    )
    np.testing.assert_array_equal(read, np.array([0.1, 1 / 3], np.float32))
    assert rest_json.from_arrays({"ctr": np.array([0.5], np.float32)}, as_rows=True) == {
        "predictions": [0.5]
    }
    assert rest_json.from_arrays({"ctr": np.array([[b"x"]], object)}, as_rows=False) == {
        "outputs": [["x"]]
    }


def with_second(**changes: Any) -> dict[str, Any]:
    """Two rows, the second with other values."""
    return {"instances": [ROW, {**ROW, **changes}]}


def nested(levels: int) -> Any:
    """A text in lists within lists."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


NO_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"instances": [ROW], "inputs": {}}, "expecting only one of 'inputs' or 'instances' keys"),
    ({"instances": {}}, "Expecting 'instances' to be an list/array"),
    ({"instances": [1]}, "instances is a plain list, but expecting list of objects"),
    ({"instances": [ROW, 1]}, "Expecting object but got list at item 1 of input list"),
    (
        with_second(item="x"),
        'element: 1 key: item of .* Error: INVALID_ARGUMENT: JSON Value: "x" Type: String is not '
        "of expected type: int64",
    ),
    (
        with_second(item=7.0),
        "JSON Value: 7.0 Type: Number is not of expected type: int64",
    ),
    (with_second(item=2**63), "is not of expected type: int64"),
    (with_second(price=10**400), "Type: Number is not of expected type: float32"),
    (with_second(tags=nested(33)), "has 33 levels; 32 at most"),
    (with_second(tags=nested(900)), "has 900 levels; 32 at most"),
    (
        with_second(item=True),
        "JSON Value: true Type: True is not of expected type: int64",
    ),
    (
        with_second(user=None),
        "JSON Value: null Type: Null is not of expected type: string",
    ),
    (with_second(user={"b64": "?"}), "Unable to base64 decode"),
    (with_second(user={"a": 1}), "not formatted correctly for base64 data"),
    (with_second(tags=["x"]), "Expecting tensor size: 2 but got: 1"),
    (with_second(tags=[["x", "y"]]), r"Expecting shape \[2\] but got: \[1,2\]"),
    (
        with_second(tags=["x", ["y"]]),
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    (with_second(tags=[["x"], "y"]), "found at incorrect level: 2 in the JSON DOM"),
    (
        with_second(tags=[["x"], ["y", "z"]]),
        "list at unexpected size: 2 at level: 1 expected",
    ),
    ({"instances": [{"user": "u"}]}, "keys must be equal to: item,price,tags,user"),
    ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
]


@pytest.mark.parametrize(("document", "text"), NO_REQUESTS)
def test_json_that_is_no_request(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ServingError, match=text):
        rest_json.to_arrays(document, SHOP_INFO)


def test_json_that_is_none() -> None:
    bodies = (
        *(b"", b"{", b"[" * 100_000, b"\xff", b'["\xed\xa0\x80"]', b"1" * 5000),
        b'{"inputs": ["\\ud800"]}',
        b'{"signature_name": "\\uDC00x"}',
        b'{"\\ud800": 1}',
    )
    for body in bodies:
        with pytest.raises(ServingError, match="JSON Parse error"):
            rest_json.parse(body)
    pair = rest_json.parse(b'{"inputs": ["\\ud83d\\ude00"]}')
    assert pair == {"inputs": ["\U0001f600"]}
    with pytest.raises(ServingError, match="'signature_name' key must be a string value"):
        rest_json.parse(b'{"signature_name": 1}')


def test_an_error_shows_the_beginning_of_a_value_and_makes_no_text_of_the_rest() -> None:
    class Costly(dict[str, int]):
        def items(self) -> Any:
            yield "a", 1
            yield "b" * 300, 2
            raise AssertionError("went on")

    found = json_values.show([Costly(a=1)])
    assert found == json.dumps([{"a": 1, "b" * 300: 2}])[:256]


def test_values_are_counted_from_above() -> None:
    for document in ([], {}, {"instances": [ROW] * 50}, [[1, [2]], {"a": {}}], "text, [text]"):
        text = json.dumps(document)
        assert rest_json.count_values(bytearray(text.encode())) >= text.count(",")
    body = bytearray(b"[" + b"{}," * 5 + b"[]]")
    assert rest_json.count_values(body) == 12
    assert rest_json.bytes_to_read(body, 12) > 12 * sys.getsizeof({})
