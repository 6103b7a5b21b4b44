"""Columns of every kind become the arrays that a signature takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from signature_infos import tensor_infos

from tafe_tf.schema import MISSING_TEXTS
from tafe_tf.serving.client import columns
from tafe_tf.serving.wire.errors import ServingError

SHOP = columns.types(tensor_infos(user="string", item="int64", price="float32", tags="strings"))


def types(**dtypes: str) -> columns.Types:
    return columns.types(tensor_infos(**dtypes))


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
        (
            {"tags": [["red"], 3, []]},
            "row 2, column 'tags': must be a list, as in other rows. Received: 3",
        ),
        (
            {"user": [["u"], ["v"], ["w"]]},
            "column 'user' is list<item: string> in this table and text in the schema",
        ),
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
    with pytest.raises(ServingError, match=r"must be a mapping, .* Received: list"):
        columns.to_arrays([1], SHOP, "serving_default")
    given = {"user": ["u"], "item": [1, 2, 3]}
    arrays, rows = columns.to_arrays(given, types(user="string", item="int64"), "rank")
    assert rows == 3 and len(arrays["user"]) == 1
    given = {"user": ["u", "v"], "item": [1, 2, 3]}
    with pytest.raises(ServingError, match=r"or one row if they are the user's. Received: .*2"):
        columns.to_arrays(given, types(user="string", item="int64"), "rank")


def test_a_column_goes_by_its_own_name_or_by_that_of_its_input() -> None:
    wanted = types(item_no="int64")
    wanted = columns.Types({"item_no": wanted["item_no"]._replace(column="Item No")})
    for given in ({"Item No": [7, 8]}, {"item_no": [7, 8]}, {"Item No": [7, 8], "item_no": [0, 0]}):
        arrays, rows = columns.to_arrays(given, wanted, "serving_default")
        assert rows == 2 and list(arrays) == ["item_no"]
        assert arrays["item_no"].tolist() == [7, 8]
    with pytest.raises(ServingError, match="columns are missing: Item No; given are item"):
        columns.to_arrays({"item": [7]}, wanted, "serving_default")


def test_a_dotted_name_reaches_into_maps_and_structs() -> None:
    kind = pa.map_(pa.string(), pa.float64())
    interests = pa.array([[("golf", 0.5), ("chess", 2.0)], None], kind)
    table = pa.table({"interests": interests, "shop": pa.array([{"city": "Köln"}, None])})
    inputs = types(tags="strings", tag_weights="float32s", town="string")
    for name, column in (
        ("tags", "interests.key"),
        ("tag_weights", "interests.value"),
        ("town", "shop.city"),
    ):
        inputs[name] = inputs[name]._replace(column=column)
    for given in (table, table.to_pandas(types_mapper=pd.ArrowDtype)):
        arrays, rows = columns.to_arrays(given, inputs, "")
        assert rows == 2 and arrays["town"].tolist() == ["Köln", ""]
        assert arrays["tags"].tolist() == [["golf", "chess"], ["", ""]]
        assert arrays["tag_weights"][0].tolist() == [0.5, 2.0]
    with pytest.raises(ServingError, match=r"columns are missing: shop.town; given are interests,"):
        inputs["town"] = inputs["town"]._replace(column="shop.town")
        columns.to_arrays(table, inputs, "")


@pytest.mark.parametrize("kind", ["lists", "arrow", "pandas"])
def test_what_is_missing_in_a_file_is_missing_here(kind: str) -> None:
    given = {
        "user": ["NA", "null", "u"],
        "item": [-999, None, 3],
        "price": [-999.0, 1.5, float("nan")],
        "tags": [["red", None], ["NA", "-999"], [float("nan"), "blue"]],
    }
    if kind == "arrow":
        tags = pa.array([["red", None], ["NA", "-999"], [None, "blue"]])
        given = {**pa.table({k: v for k, v in given.items() if k != "tags"}).to_pydict()}
        given["tags"] = tags
    rows = pd.DataFrame(given) if kind == "pandas" else given
    inputs = columns.types(
        tensor_infos(user="string", item="int64", price="float32", tags="strings")
    )
    inputs.missing = (*MISSING_TEXTS, "-999")
    arrays, _ = columns.to_arrays(rows, inputs, "")
    assert arrays["user"].tolist() == ["", "", "u"] and arrays["item"].tolist() == [-1, -1, 3]
    np.testing.assert_array_equal(arrays["price"], np.array([np.nan, 1.5, np.nan], np.float32))
    assert arrays["tags"].tolist() == [["red", ""], ["", ""], ["", "blue"]]


def test_an_integer_is_rounded_as_in_a_file() -> None:
    large = 2**53 + 2**29 + 1  # rounded to float32 at once, it is one float32 above
    inputs = types(price="float32")
    for given in ([large], np.array([large]), pa.array([large]), [str(large)]):
        arrays, _ = columns.to_arrays({"price": given}, inputs, "")
        assert arrays["price"][0] == np.float32(np.float64(large))
