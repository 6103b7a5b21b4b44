"""What goes over the wire: tensors against TensorFlow's own codec, JSON, and columns of every kind."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from tafe_tf.serving.client import columns
from tafe_tf.serving.server import rest_json
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError

ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array([1.5, np.nan, np.inf, -0.0], np.float32),
    np.array([[1e300]]),
    np.array([True, False]),
    np.array([-1, 127], np.int8),
    np.array([2**63 + 1], np.uint64),
    np.array([b"a", "é", b"\xff\x00"], object),
    np.array(["red", "blue"]),
    np.array(7),
    np.zeros((0,), np.float32),
    np.zeros((0, 3), np.int64),
    np.array([], object),
]


@pytest.mark.parametrize("as_fields", [False, True])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_tensorflow_reads_what_we_write_and_the_reverse(array: np.ndarray, as_fields: bool) -> None:
    proto = tensor_pb2.TensorProto()
    tensors.encode(array, proto, as_fields=as_fields)
    np.testing.assert_array_equal(tf.make_ndarray(proto), tensors.decode(proto))
    theirs = tf.make_tensor_proto(array)
    np.testing.assert_array_equal(tensors.decode(theirs), tf.make_ndarray(theirs))
    assert tensors.decode(theirs).shape == array.shape


def test_few_values_stand_for_many() -> None:
    for values in ([], [1.5], [1.5, 2.5]):
        proto = tensor_pb2.TensorProto(dtype=1, float_val=values)
        proto.tensor_shape.dim.add().size = 4
        np.testing.assert_array_equal(tensors.decode(proto), tf.make_ndarray(proto))


def proto(dtype: int, *shape: int, **fields: Any) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        made.tensor_shape.dim.add().size = size
    return made


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (proto(1, 2, tensor_content=b"1234567"), r"7 bytes are no float32 of shape \[2\]"),
        (proto(7, 1, tensor_content=b"1234"), "bytes are no object"),
        (proto(1, 1, float_val=[1, 2]), "2 values are no tensor of 1 elements"),
        (
            proto(9, 1 << 62, int64_val=[1]),
            "1 values are no tensor of 4611686018427387904 elements",
        ),  # would be 2^65 bytes
        (proto(9, -1, int64_val=[1]), r"shape \[-1\] is not known"),
        (proto(0, 1), "type 0 is not supported"),
        (proto(20, 1), "type 20 is not supported"),
        (proto(6, 1, int_val=[300]), "out of bounds"),
    ],
)
def test_what_is_no_tensor(wrong: tensor_pb2.TensorProto, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        tensors.decode(wrong)


def test_other_values_are_not_sent() -> None:
    with pytest.raises(TypeError, match="cannot send values of type complex128"):
        tensors.encode(np.array([1j]), tensor_pb2.TensorProto())


def inputs(**dtypes: str) -> dict[str, Any]:
    """`TensorInfo`s; "int64s" is a list of int64 a row."""
    made = {}
    for name, dtype in dtypes.items():
        made[name] = meta_graph_pb2.TensorInfo(
            dtype=tf.dtypes.as_dtype(dtype.removesuffix("s")).as_datatype_enum
        )
        for _ in range(1 + dtype.endswith("s")):
            made[name].tensor_shape.dim.add().size = -1
    return made


SHOP_INFO = inputs(user="string", item="int64", price="float32", tags="strings")
SHOP = columns.types(SHOP_INFO)
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
    one = inputs(examples="string")
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
        rest_json.parse(b'{"inputs": [NaN, Infinity, 1, 2.5]}'), inputs(price="float32")
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


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"instances": [ROW], "inputs": {}}, "expecting only one of 'inputs' or 'instances' keys"),
        ({"instances": {}}, "Expecting 'instances' to be an list/array"),
        ({"instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ({"instances": [ROW, 1]}, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [ROW, {**ROW, "item": "x"}]},
            'element: 1 key: item of .* Error: INVALID_ARGUMENT: JSON Value: "x" Type: String is not of expected type: '
            "int64",
        ),
        ({"instances": [{**ROW, "item": 7.0}]}, "JSON Value: 7.0 Type: Number is not of expected type: int64"),
        ({"instances": [{**ROW, "item": 2**63}]}, "is not of expected type: int64"),
        ({"instances": [{**ROW, "item": True}]}, "JSON Value: true Type: True is not of expected type: int64"),
        ({"instances": [{**ROW, "user": None}]}, "JSON Value: null Type: Null is not of expected type: string"),
        ({"instances": [{**ROW, "user": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"instances": [{**ROW, "user": {"a": 1}}]}, "not formatted correctly for base64 data"),
        ({"instances": [ROW, {**ROW, "tags": ["x"]}]}, "Expecting tensor size: 2 but got: 1"),
        ({"instances": [ROW, {**ROW, "tags": [["x", "y"]]}]}, r"Expecting shape \[2\] but got: \[1,2\]"),
        ({"instances": [{**ROW, "tags": ["x", ["y"]]}]}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"instances": [{**ROW, "tags": [["x"], "y"]}]}, "found at incorrect level: 2 in the JSON DOM"),
        ({"instances": [{**ROW, "tags": [["x"], ["y", "z"]]}]}, "list at unexpected size: 2 at level: 1 expected"),
        ({"instances": [{"user": "u"}]}, "keys must be equal to: item,price,tags,user"),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
    ],
)  # fmt: skip
def test_json_that_is_no_request(document: dict[str, Any], text: str) -> None:
    with pytest.raises(ServingError, match=text):
        rest_json.to_arrays(document, SHOP_INFO)


def test_json_that_is_none() -> None:
    for body in (b"", b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(ServingError, match="JSON Parse error"):
            rest_json.parse(body)
    with pytest.raises(ServingError, match="'signature_name' key must be a string value"):
        rest_json.parse(b'{"signature_name": 1}')


def types(**dtypes: str) -> columns.Types:
    return columns.types(inputs(**dtypes))


GIVEN = {
    "user": ["u1", None, ""],
    "item": [7, None, -1],
    "price": [9.5, None, float("nan")],
    "tags": [["red"], None, ["red", "blue"]],
    "label": [0, 1, 0],
}


@pytest.mark.parametrize("kind", ["lists", "arrow", "pandas", "chunks"])
def test_columns_of_every_kind(kind: str) -> None:
    table = pa.table(GIVEN)
    given = {
        "lists": GIVEN,
        "arrow": table,
        "pandas": pd.DataFrame(GIVEN),
        "chunks": pa.concat_tables([table[:1], table[1:]]),
    }[kind]
    arrays, rows = columns.to_arrays(given, SHOP, "serving_default")
    assert rows == 3 and set(arrays) == set(SHOP)
    assert arrays["user"].tolist() == ["u1", "", ""]
    assert arrays["item"].tolist() == [7, -1, -1] and arrays["item"].dtype == np.int64
    np.testing.assert_array_equal(arrays["price"], np.array([9.5, np.nan, np.nan], np.float32))
    assert arrays["tags"].tolist() == [["red", ""], ["", ""], ["red", "blue"]]


def test_texts_of_a_csv_file() -> None:
    given = pa.table({"user": ["u1"], "item": ["7"], "price": [""], "tags": ["red|blue"]})
    arrays, _ = columns.to_arrays(given, SHOP, "serving_default")
    assert arrays["item"].tolist() == [7] and np.isnan(arrays["price"][0])
    assert arrays["tags"].tolist() == [["red", "blue"]]


def test_arrays_are_sent_as_they_are() -> None:
    given = {"item": np.array([1, 2]), "price": np.array([1, 2], np.float32)}
    arrays, _ = columns.to_arrays(given, types(item="int64", price="float32"), "serving_default")
    assert arrays["item"] is given["item"] and arrays["price"] is given["price"]
    assert columns.to_arrays({"item": [1.0, 2.0]}, types(item="int64"), "")[0]["item"].tolist() == [
        1,
        2,
    ]
    assert columns.to_arrays({"item": np.array([1], np.uint64)}, types(item="int64"), "")[0][
        "item"
    ].tolist() == [1]
    empties: list[Any] = [[], np.array([])]
    for empty in empties:
        arrays, rows = columns.to_arrays(
            {"item": empty, "tags": empty}, types(item="int64", tags="strings"), ""
        )
        assert rows == 0 and arrays["item"].dtype == np.int64 and arrays["tags"].shape[0] == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"item": [1, 2, "x"]}, "column 'item', row 3: must be an integer. Received: 'x'"),
        ({"item": [1, 2.5, 3]}, "column 'item', row 2: must be an integer. Received: 2.5"),
        ({"price": ["a", 1, 2]}, "column 'price', row 1: must be a number. Received: 'a'"),
        ({"item": [1, 2]}, r"columns must have as many rows as each other. Received: .*'item': 2"),
        ({"item": [2**64, 1, 1]}, "column 'item'"),
        ({"tags": [["red"], 3, []]}, "column 'tags': cannot be sent as string of 2 dimension"),
        ({"user": [["u"], ["v"], ["w"]]}, "column 'user': cannot be sent as string of 1 dimension"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ServingError, match=text):
        columns.to_arrays({**GIVEN, **changes}, SHOP, "serving_default")


def test_missing_columns_and_rank() -> None:
    with pytest.raises(
        ServingError, match="columns are missing: price, tags; given are user, item"
    ):
        columns.to_arrays({"user": ["u"], "item": [1]}, SHOP, "serving_default")
    with pytest.raises(TypeError, match=r"must be a mapping, .* Received: list"):
        columns.to_arrays([1], SHOP, "serving_default")
    given = {"user": ["u"], "item": [1, 2, 3]}
    arrays, rows = columns.to_arrays(given, types(user="string", item="int64"), "rank")
    assert rows == 3 and len(arrays["user"]) == 1
