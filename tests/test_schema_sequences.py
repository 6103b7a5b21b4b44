"""Sequences in a schema: their rules, their TOML, and the rows of H."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tafe_tf import schema_toml
from tafe_tf.first_look.schema_errors import all_errors
from tafe_tf.schema import SchemaError

FEATURES: dict[str, dict[str, Any]] = {
    "item": {"kind": "vocabulary"},
    "shop": {"kind": "integer", "size": 9},
    "history": {"shares": "item", "max_length": 5, "side": "user"},
    "hour": {"kind": "integer", "size": 24, "side": "user"},
    "shops": {"kind": "integer", "size": 9, "max_length": 5, "side": "user"},
    "tags": {"kind": "hash", "buckets": 7, "max_length": 5, "side": "user"},
}
RECENT: dict[str, Any] = {"name": "recent", "features": ["history", "shops"], "query": ["item"]}


def mapping(*sequences: dict[str, Any], **features: dict[str, Any]) -> dict[str, Any]:
    tables = []
    for name, keys in {**FEATURES, **features}.items():
        tables.append({"name": name, **FEATURES.get(name, {}), **keys})
    return {
        "name": "shop",
        "tasks": [{"name": "click"}],
        "features": tables,
        "sequences": list(sequences),
    }


def test_fields_are_the_rows_of_h() -> None:
    assert schema_toml.parse(mapping()).fields == tuple(FEATURES)
    schema = schema_toml.parse(mapping(RECENT))
    assert schema.fields == ("item", "shop", "hour", "tags", "recent")
    other = {"name": "tagged", "features": ["tags"], "query": ["shop"], "attention": "dot"}
    assert schema_toml.parse(mapping(other, RECENT)).fields[-2:] == ("tagged", "recent")
    keep = {column.name: column.keep for column in schema.inputs}
    assert keep["history"] == keep["shops"] == "last" and keep["tags"] == "first"
    first = schema_toml.parse(mapping({**RECENT, "newest": "first"}))
    assert {column.keep for column in first.inputs} == {"first"}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"newest": "first", "hidden": [8]},
        {"attention": "dot"},
        {"attention": "transformer", "blocks": 1, "heads": 2},
    ],
)
def test_toml_goes_round(keys: dict[str, Any]) -> None:
    schema = schema_toml.parse(mapping({**RECENT, **keys}))
    text = schema_toml.dump(schema)
    assert schema_toml.parse(tomllib.loads(text)) == schema
    written = tomllib.loads(text)["sequences"]
    assert written == [{**RECENT, **keys}]


WHERE = "schema: sequence 'recent': "


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"features": []}, "features must name at least one feature. Received: "),
        ({"query": ["item", "shop", "hour"]}, "query must name at most as many features as `feat"),
        ({"features": ["history", "none"]}, "features must name features. Received: 'none'"),
        ({"features": ["hour"]}, "features must hold lists (max_length). Received: 'hour'"),
        ({"query": ["tags"]}, "query must be ids of one value a row. Received: 'tags'"),
        ({"query": ["recent"]}, "query must name features. Received: 'recent'"),
        ({"attention": "cosine"}, "attention must be one of ['din', 'dot', 'transformer']. Rec"),
        ({"newest": "left"}, "newest must be one of ['last', 'first']. Received: 'left'"),
        ({"blocks": 3}, "blocks has no meaning for attention 'din'. Received: 3"),
        ({"attention": "dot", "hidden": [8]}, "hidden has no meaning for attention 'dot'. Rec"),
        ({"hidden": []}, "hidden must hold at least one size. Received: "),
        ({"hidden": [0]}, "hidden must be an integer, 1 or more. Received: 0"),
        ({"features": "history"}, "features must be a sequence of str. Received: 'history'"),
    ],
)
def test_rules_of_a_sequence(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as error:
        schema_toml.parse(mapping({**RECENT, **keys}))
    assert str(error.value).startswith(WHERE + message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"shops": {"max_length": 4}}, "features must have one max_length, 5 as 'history'. Rec"),
        ({"shops": {"side": "item"}}, "features must have one side, 'user' as 'history'. Received"),
        ({"shops": {"weights": "w"}}, "features must have no weights and no pooling. Received: 's"),
        ({"shops": {"pooling": "sum"}}, "features must have no weights and no pooling. Received"),
    ],
)
def test_rules_of_its_features(features: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as error:
        schema_toml.parse(mapping(RECENT, **features))
    assert str(error.value).startswith(WHERE + message)


def test_names_and_features_are_of_one_field_each() -> None:
    other = {"name": "other", "features": ["history"], "query": ["item"]}
    with pytest.raises(SchemaError, match=r"'other': features must not be those of 'recent' too"):
        schema_toml.parse(mapping(RECENT, other))
    with pytest.raises(SchemaError, match=r"field 'item': name must be given once"):
        schema_toml.parse(mapping({**RECENT, "name": "item"}))
    with pytest.raises(SchemaError, match=r"sequence 'recent': querry is not a key; known are"):
        schema_toml.parse(mapping({**RECENT, "querry": []}))
    with pytest.raises(SchemaError, match=r"sequence 'recent': query is required"):
        schema_toml.parse(mapping({"name": "recent", "features": ["history"]}))


def test_all_errors_of_a_sequence_are_told_beside_others() -> None:
    wrong = mapping({**RECENT, "newest": "left", "hidden": [0]}, shop={"size": 0})
    wrong["sequences"].append({**RECENT, "name": "other", "features": ["history", "none"]})
    found = all_errors(wrong)
    assert any("sequence 'recent': newest must be one of" in error for error in found)
    assert any("sequence 'recent': hidden must be" in error for error in found)
    assert any("feature 'shop': size must be" in error for error in found)
    assert not any("is required" in error for error in found)
    assert any("sequence 'other': features must name features" in error for error in found)
