"""The amount and the score of a schema: rules, and TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tafe_tf import schema_toml
from tafe_tf.first_look.schema_errors import all_errors
from tafe_tf.schema import Amount, Schema, SchemaError, Score, Task

TEXT = """name = "shop"

[[tasks]]
name = "click"

[[tasks]]
name = "buy"

[[tasks]]
name = "spend"
kind = "amount"
column = "revenue"
weight = 0.5

[[features]]
name = "hour"
kind = "integer"
size = 24

[[features]]
name = "item"
kind = "hash"
column = "item.no"
buckets = 100

[score]
inputs = [
    "bid",
]

[score.powers]
ctcvr = 1.0
amount_given_buy = 0.5
bid = -1.5
"""


def mapping(**changed: Any) -> dict[str, Any]:
    return {**tomllib.loads(TEXT), **changed}


def with_amount(**keys: Any) -> dict[str, Any]:
    tasks = [{"name": "click"}, {"name": "spend", "kind": "amount", **keys}]
    found = mapping(tasks=tasks)
    del found["score"]
    return found


def test_an_amount_is_no_step() -> None:
    schema = schema_toml.parse(mapping())
    assert schema.tasks == (Task(name="click"), Task(name="buy"))
    assert schema.amount == Amount(name="spend", column="revenue", weight=0.5)
    assert schema.output_names == ("ctr", "ctcvr", "cvr", "amount_given_buy", "expected_amount")
    assert schema.columns[-1].name == "revenue"
    assert schema.labels == ("click", "buy")


def test_what_is_dumped_loads_as_what_it_was() -> None:
    schema = schema_toml.parse(mapping())
    text = schema_toml.dump(schema)
    assert text == TEXT
    assert schema_toml.parse(tomllib.loads(text)) == schema
    assert hash(schema) == hash(schema_toml.parse(mapping()))


def test_a_funnel_of_one_step_may_bring_an_amount() -> None:
    schema = schema_toml.parse(with_amount())
    assert schema.output_names == ("ctr", "amount_given_click", "expected_amount")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "sum"}, r"task 'spend': kind must be \"amount\", or left out for a step.*sum"),
        ({"weight": -1}, "task 'spend': weight must be a number, 0 or more. Received: -1"),
        ({"may_be_unknown": 1}, "task 'spend': may_be_unknown must be true or false"),
        ({"via": "cart"}, r"task 'spend': via is not a key; known are name, column"),
        ({"column": "click"}, "task 'spend': column must not read the column of task 'click'"),
        ({"column": "hour"}, "feature 'hour': column must not be a target .task 'spend'"),
        ({"name": "click"}, "task 'click': name must be given once"),
    ],
)
def test_rules_of_an_amount(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_toml.parse(with_amount(**keys))
    assert any(
        message.split(" ")[0].split("\\")[0] in error for error in all_errors(with_amount(**keys))
    )


def test_an_amount_is_the_last_task() -> None:
    tasks = [{"name": "click"}, {"name": "spend", "kind": "amount"}, {"name": "buy"}]
    with pytest.raises(SchemaError, match="task 'spend': kind must be that of the last task"):
        schema_toml.parse(mapping(tasks=tasks))
    with pytest.raises(SchemaError, match="tasks must hold the funnel, one step or more"):
        schema_toml.parse(mapping(tasks=tasks[1:2]))
    with pytest.raises(
        SchemaError, match="amount is not a key; an amount is the last of the tasks"
    ):
        schema_toml.parse(mapping(amount={"name": "spend"}))


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ({"powers": {}}, "score: powers must be a table of exponents by name, one or more"),
        ({"powers": {"ctr": 0}}, "score: powers of 'ctr' must be a finite number other than 0"),
        ({"powers": {"ctr": "1"}}, "score: powers of 'ctr' must be a finite number"),
        ({"powers": {"ctcvvr": 1}}, "score: powers must name outputs, .*'ctcvvr'"),
        ({"powers": {"bid": 1}}, "or `inputs` of the score. Received: 'bid'"),
        ({"powers": {"ctr": 1}, "inputs": ["bid"]}, "inputs must be factors of `powers`"),
        ({"powers": {"Hour": 1}, "inputs": ["Hour"]}, "must differ from outputs, features' inputs"),
        ({"powers": {"bid": 1, "Bid": 1}, "inputs": ["bid", "Bid"]}, "Received: 'Bid'"),
        ({"powers": {"Item_No": 1}, "inputs": ["Item_No"]}, "more than case or signs. Received"),
        ({"powers": {"a b": 1}, "inputs": ["a b"]}, "inputs must be letters, digits"),
        ({"powers": {"class": 1}, "inputs": ["class"]}, "must not name a word of Python"),
        ({"powers": {"ctr": 1}, "formula": "ctr"}, "score: formula is not a key"),
        ("ctr", r"score must be written as a table \[score\]"),
    ],
)
def test_rules_of_a_score(score: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_toml.parse(mapping(score=score))


def test_a_score_needs_no_amount() -> None:
    schema = Schema(
        name="shop",
        tasks=(Task(name="click"),),
        features=schema_toml.parse(mapping()).features,
        score=Score(powers={"ctr": 2.0}),  # type: ignore[arg-type]
    )
    assert schema.score is not None
    assert schema.score({"ctr": 0.5}) == 0.25
    assert schema_toml.parse(tomllib.loads(schema_toml.dump(schema))) == schema
