"""Rows as tf.Examples, parsed again by TensorFlow."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import small_models
import tensorflow as tf

from tafe_tf import schema, schema_toml
from tafe_tf.export.signature_inputs import examples, signature_inputs, tiled

ROWS = {
    "user": np.array(["é", ""], object),
    "item": np.array([7, -1]),
    "hour": np.array([-1, 23]),
    "price": np.array([np.nan, 2.5], np.float32),
    "tags": np.array([["a", "b"], ["c", ""]], object),
    "tag_weights": np.array([[0.5, 1.0], [2.0, np.nan]], np.float32),
}


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> schema.Schema:
    file = tmp_path / "schema.toml"
    file.write_text(small_models.SHOP)
    return schema_toml.load(file)


def test_examples_leave_out_missing_values(dataset: schema.Schema) -> None:
    first, second = (tf.train.Example.FromString(text) for text in examples(dataset, ROWS))
    assert set(first.features.feature) == {"user", "item", "tags", "tag_weights"}
    assert set(second.features.feature) == {"hour", "price", "tags", "tag_weights"}
    assert list(first.features.feature["user"].bytes_list.value) == ["é".encode()]
    assert list(first.features.feature["item"].int64_list.value) == [7]
    assert list(second.features.feature["price"].float_list.value) == [2.5]
    assert list(second.features.feature["tags"].bytes_list.value) == [b"c", b""]


def test_rank_has_one_user_and_all_items(dataset: schema.Schema) -> None:
    inputs = dict(signature_inputs(dataset, ROWS, ["rank", "ctr"]))
    assert list(inputs["rank"]["user"]) == ["é"] and list(inputs["rank"]["hour"]) == [-1]
    assert list(inputs["rank"]["item"]) == list(inputs["ctr"]["item"]) == [7, -1]
    repeated = tiled(dataset, ROWS)
    assert list(repeated["user"]) == ["é", "é"] and list(repeated["item"]) == [7, -1]
