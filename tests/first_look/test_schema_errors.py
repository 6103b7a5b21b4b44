"""All errors of a schema are told, each as reading it would tell it."""

from __future__ import annotations

import pathlib
import tomllib
from typing import Any

import pytest

from tafe_tf import schema_toml
from tafe_tf.first_look.schema_errors import all_errors, load_all
from tafe_tf.schema import SchemaError

GOOD = """
name = "shop"
[[tasks]]
name = "click"
[[features]]
name = "hour"
kind = "integer"
size = 24
"""
WRONG = """
name = "shop"
order = "sometimes"
[[tasks]]
name = "click"
weight = -1
[[tasks]]
name = "buy"
colum = "bought"
[[features]]
name = "hour"
kind = "integer"
size = 0
side = "left"
[[features]]
name = "item"
kind = "hashed"
[[features]]
name = "clicked"
kind = "vocabulary"
column = "click"
"""


def test_every_error_is_told_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(WRONG)
    schema, errors = load_all(path)
    assert schema is None
    starts = [
        "task 'click': weight must be a number",
        "task 'buy': colum is not a key",
        "feature 'hour': size must be an integer, 1 or more. Received: 0",
        "feature 'hour': side must be 'user' or 'item'. Received: 'left'",
        "feature 'item': kind must be one of",
        "order must be one of",
        "feature 'clicked': column must not be a target (task 'click': column)",
    ]
    assert len(errors) == len(starts)
    for error, start in zip(errors, starts, strict=True):
        assert error.startswith(f"{path}: {start}")


def test_the_first_error_of_reading_is_among_them(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(WRONG)
    with pytest.raises(SchemaError) as first:
        schema_toml.load(path)
    assert str(first.value) in load_all(path)[1]


SHARED = """
name = "shop"
[[tasks]]
name = "click"
[[features]]
name = "item"
kind = "vocabulary"
[[features]]
name = "seen"
shares = "item"
max_length = 5
[[features]]
name = "seen_pooled"
column = "seen"
shares = "item"
max_length = 5
[[features]]
name = "hour"
kind = "integer"
size = 24
[[sequences]]
name = "recent"
features = ["seen"]
query = ["item"]
newest = "first"
"""


@pytest.mark.parametrize(
    ("good", "wrong", "error"),
    [
        (
            'newest = "first"',
            'newest = "last"',
            "feature 'seen_pooled': column 'seen' is read by 'seen' too, so both must keep",
        ),
        (
            'name = "item"\nkind = "vocabulary"',
            'name = "item"\nkind = "vocab"',
            "feature 'item': kind must be one of",
        ),
        ('features = ["seen"]', "features = []", "sequence 'recent': features must name at least"),
        ('query = ["item"]', 'query = ["shop"]', "sequence 'recent': query must name features"),
    ],
)
def test_one_mistake_in_what_others_use_is_one_error(good: str, wrong: str, error: str) -> None:
    assert all_errors(tomllib.loads(SHARED)) == []
    errors = all_errors(tomllib.loads(SHARED.replace(good, wrong)))
    assert len(errors) == 1 and errors[0].startswith(error), errors


def test_a_good_schema_has_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(GOOD)
    assert load_all(path) == (schema_toml.load(path), [])


def test_what_is_no_toml_is_one_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text("name = ")
    schema, errors = load_all(path)
    assert schema is None and len(errors) == 1 and "schema.toml: " in errors[0]


def test_brackets_without_end_are_one_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(f"a = {'[' * 5000}")
    schema, errors = load_all(path)
    assert schema is None and errors == [f"{path}: has too many brackets inside each other"]


def test_missing_tables_are_told() -> None:
    assert any("features must hold at least one" in error for error in all_errors({"name": "shop"}))
    assert any("features must be written as [[features]]" in error for error in all_errors(
        {"name": "shop", "tasks": [{"name": "click"}], "features": 3}))  # fmt: skip


def test_features_with_wrong_names_are_told_by_these_names() -> None:
    feature = {"kind": "vocabulary"}
    names = ["glyburide-metformin", "glipizide-metformin", "9_lives"]
    shares = {"name": "seen", "shares": names[0]}
    errors = all_errors(
        {
            "name": "shop",
            "tasks": [{"name": "click"}],
            "features": [*({**feature, "name": name} for name in names), shares],
        }
    )
    rule = "features.name must be letters, digits and underscores, starting with a letter"
    assert errors == [f"{rule} (`column` may be any name). Received: {name!r}" for name in names]


def test_errors_of_a_feature_with_a_wrong_name_are_told_by_this_name() -> None:
    wrong = [{"name": "field-0", "kind": "vocab"}, {"name": "field-1", "kind": "hashed"}]
    errors = all_errors({"name": "shop", "tasks": [{"name": "click"}], "features": wrong})
    assert not any("some_name" in error for error in errors)
    for name in ("field-0", "field-1"):
        assert any(error.startswith(f"feature {name!r}: kind must be") for error in errors), errors


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"features": ["seen"], "queries": ["item"]}, "queries"),
        ({"features": ["seen"]}, "query is required"),
        ({"query": ["item"]}, "features is required"),
        ({"features": "seen", "query": ["item"]}, "features"),
        ({"features": ["seen"], "query": ["item"], "attention": "none"}, "attention"),
    ],
)
def test_wrong_keys_of_a_sequence_are_told(keys: dict[str, Any], said: str) -> None:
    item = {"name": "item", "kind": "vocabulary"}
    seen = {"name": "seen", "column": "seen", "max_length": 5, "newest": "last", "shares": "item"}
    schema = {"name": "shop", "tasks": [{"name": "click"}], "features": [item, seen]}
    errors = all_errors({**schema, "sequences": [{"name": "recent", **keys}]})
    assert any("recent" in error and said in error for error in errors), errors
