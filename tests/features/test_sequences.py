"""Histories from files and requests to ids, against twins in plain Python."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.to_table import to_table
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.features.graph import Features
from tafe_tf.schema import Schema

MISSING, FIRST, L = 1, 2, 3
FORMATS = ["csv", "parquet", "tfrecord"]


def schema_of(newest: str = "last", **keys: Any) -> Schema:
    history = {"kind": "integer", "size": 50, "max_length": L, "side": "user"}
    return schema_toml.parse(
        {
            "name": "shop",
            "tasks": [{"name": "click"}],
            "features": [
                {"name": "history", **history},
                {"name": "item", "kind": "integer", "size": 50},
                {"name": "word", "kind": "hash", "buckets": 20, "side": "user"},
                {"name": "age", "kind": "log_round", "max_length": L, "side": "user"},
                {"name": "tags", "kind": "hash", "buckets": 9, "max_length": 2},
            ],
            "sequences": [
                {
                    "name": "recent",
                    "features": ["history", "age"],
                    "query": ["item"],
                    "newest": newest,
                    **keys,
                }
            ],
        }
    )


def rows(count: int = 40, seed: int = 0) -> dict[str, list[Any]]:
    """Rows with histories of 0 to 7 entries, some of whose values are missing."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"history": [], "age": [], "tags": []}
    for length in rng.integers(0, 8, count):
        columns["history"].append(rng.integers(-1, 50, length).tolist())
        ages = np.round(rng.uniform(0, 90, length), 3).tolist()
        columns["age"].append([math.nan if rng.random() < 0.2 else age for age in ages])
        columns["tags"].append([f"t{tag}" for tag in rng.integers(0, 9, rng.integers(0, 4))])
    columns["item"] = rng.integers(0, 50, count).tolist()
    columns["word"] = [f"w{word}" for word in rng.integers(0, 30, count)]
    columns["click"] = rng.integers(0, 2, count).tolist()
    return columns


def kept(history: list[int], age: list[float], newest: str) -> list[tuple[int, float]]:
    """The last L entries, the newest first; what is missing at the end is no entry."""
    entries = list(zip(history, age, strict=True))
    if newest == "first":
        return entries[:L]
    while entries and entries[-1][0] == -1 and math.isnan(entries[-1][1]):
        entries.pop()
    return entries[::-1][:L]


def twin(history: list[int], age: list[float], newest: str) -> tuple[list[int], list[int]]:
    """The ids of both lists, each with its padding."""
    entries = kept(history, age, newest)
    ids = [MISSING if value == -1 else value + FIRST for value, _ in entries]
    largest = round(4 * math.log1p(1e9))
    ages = []
    for _, value in entries:
        is_missing = math.isnan(value)
        ages.append(MISSING if is_missing else round(4 * math.log1p(value)) + FIRST + largest)
    padding = [MISSING] * (L - len(entries))
    return ids + padding, ages + padding


def check(features: Features, columns: dict[str, Any], given: dict[str, list[Any]]) -> None:
    newest = features.schema.sequences[0].newest
    inputs = features({name: tf.constant(values) for name, values in columns.items()})
    ids, weights = inputs["ids"].numpy(), inputs["weights"].numpy()
    assert ids.shape == (len(ids), 2 * L + 4)
    for row, (history, age) in enumerate(zip(given["history"], given["age"], strict=True)):
        own, ages = twin(history, age, newest)
        assert ids[row, :L].tolist() == own
        assert ids[row, L + 2 : 2 * L + 2].tolist() == ages
        assert weights[row, :L].tolist() == [float(value != MISSING) for value in own]
        assert weights[row, L + 2 : 2 * L + 2].tolist() == [float(v != MISSING) for v in ages]
        assert ids[row, L] == given["item"][row] + FIRST
    assert weights[:, L : L + 2].tolist() == [[1.0, 1.0]] * len(ids)


@pytest.mark.parametrize("newest", ["last", "first"])
@pytest.mark.parametrize("extension", FORMATS)
def test_files_of_every_format(tmp_path: pathlib.Path, extension: str, newest: str) -> None:
    given = rows()
    path = tmp_path / f"train.{extension}"
    texts = {name: given[name] for name in given}
    if extension == "csv":  # a cell cannot hold NaN inside a list
        texts["age"] = [["" if math.isnan(age) else age for age in ages] for ages in given["age"]]
    write(path, texts)
    schema = schema_of(newest)
    (block,) = read_blocks([str(path)], schema, bad_rows=BadRows())
    assert block.columns["history"].shape == (40, L)
    check(Features(schema, tmp_path), block.columns, given)
    again = tmp_path / "again.parquet"
    table = to_table(block, schema)
    write(again, {name: table[name].to_pylist() for name in table.column_names})
    (copy,) = read_blocks([str(again)], schema, bad_rows=BadRows())
    for name in ("history", "age"):
        np.testing.assert_array_equal(copy.columns[name], block.columns[name])


@pytest.mark.parametrize("newest", ["last", "first"])
@pytest.mark.parametrize("more", [0, 3])
def test_requests_are_padded_at_their_ends(newest: str, more: int) -> None:
    given = rows()
    width = 7 + more
    columns: dict[str, Any] = {"item": given["item"], "word": given["word"]}
    for name, absent, dtype in (("history", -1, np.int64), ("age", math.nan, np.float32)):
        padded = np.full((40, width), absent, dtype)
        for row, values in enumerate(given[name]):
            padded[row, : len(values)] = values
        columns[name] = padded
    columns["item"] = np.array(columns["item"], np.int64)
    columns["tags"] = np.full((40, 1), "", object)
    check(Features(schema_of(newest), "nowhere"), columns, given)


def test_a_list_that_is_shorter_in_a_request_lacks_its_end() -> None:
    features = Features(schema_of(), "nowhere")
    columns = {
        "history": tf.constant([[4, 5, 6, 7]], tf.int64),
        "age": tf.constant([[1.0]]),
        "item": tf.constant([3], tf.int64),
        "word": tf.constant(["a"]),
        "tags": tf.constant([[""]]),
    }
    ids = features(columns)["ids"].numpy()[0]
    assert ids[:L].tolist() == [9, 8, 7]
    assert ids[L + 2 : 2 * L + 2].tolist() == [MISSING] * L


@pytest.mark.parametrize("extension", FORMATS)
def test_lists_of_other_lengths_are_an_error(tmp_path: pathlib.Path, extension: str) -> None:
    given = rows()
    given["history"][6], given["age"][6] = [1, 2, 3, 4], [0.5, 1.5]
    path = tmp_path / f"train.{extension}"
    if extension == "csv":
        given["age"] = [["" if math.isnan(age) else age for age in row] for row in given["age"]]
    write(path, given)
    rule = r"column 'age': must hold as many values as 'history', 4. Received: 2"
    with pytest.raises(BadRowError, match=rf"train.{extension}.*row 7.*{rule}"):
        list(read_blocks([str(path)], schema_of(), bad_rows=BadRows()))
    dropping = BadRows("drop")
    (block,) = read_blocks([str(path)], schema_of(), bad_rows=dropping)
    assert len(block.row) == 39 and 7 not in block.row
    assert dropping.count == 1


def test_inputs_of_a_ranking_hold_histories_once() -> None:
    features = Features(schema_of(), "nowhere")
    signature = features.ranked_signature
    assert signature is not None
    shapes = {name: spec.shape.as_list() for name, spec in signature.items()}
    assert shapes == {
        "ids": [None, 4],
        "weights": [None, 4],
        "once_ids": [1, 2 * L],
        "once_weights": [1, 2 * L],
    }
    user = {
        "history": tf.constant([[4, 5, 6, 7]], tf.int64),
        "age": tf.constant([[1.0, 2.0, 3.0, 4.0]]),
        "word": tf.constant(["a"]),
    }
    of_items = {
        "item": tf.constant([3, 9, 11], tf.int64),
        "tags": tf.constant([["a", "b"], ["c", ""], ["", ""]]),
    }
    repeated = {name: tf.repeat(values, 3, axis=0) for name, values in user.items()}
    whole = features({**repeated, **of_items})
    parted = features.ranked({**repeated, **of_items}, {**user, **of_items})
    once = [0, 1, 2, 5, 6, 7]
    others = [3, 4, 8, 9]
    for name in ("ids", "weights"):
        np.testing.assert_array_equal(parted[name], whole[name].numpy()[:, others])
        np.testing.assert_array_equal(parted[f"once_{name}"], whole[name].numpy()[:1, once])


def test_encoders_tell_the_models_what_there_is() -> None:
    (encoder,) = Features(schema_of(hidden=[7]), "nowhere").encoders or []
    assert encoder == {
        "kind": "sequence",
        "features": [0, 3],
        "query": [1],
        "attention": "din",
        "units": [7],
        "once": True,
    }
