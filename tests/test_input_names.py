"""The inputs' names of columns with any name."""

from __future__ import annotations

import keyword
import re

import numpy as np
import pytest

from tafe_tf.input_names import LONGEST, input_names
from tafe_tf.schema import Feature, Schema, SchemaError, Task

CLEAN = [
    "user",
    "Item",
    "user_id",
    "1st",
    "a.b",
    "a-c",
    "a/d",
    "ctr",
    "examples",
    "serving_default",
]
NASTY = [
    "Item No",
    "größe",
    "商品",
    "_private",
    "a:b",
    "class",
    "None",
    "self",
    'say "hi"',
    "a\nb",
    "",
]


@pytest.mark.parametrize("name", CLEAN)
def test_a_name_that_an_export_can_take_stays(name: str) -> None:
    assert input_names({name: "other"}) == {name: name}


@pytest.mark.parametrize("name", [*NASTY, "x" * (LONGEST + 1)])
def test_any_other_column_gets_the_name_of_its_feature(name: str) -> None:
    assert input_names({name: "feature"}) == {name: "feature"}


@pytest.mark.parametrize(
    ("wishes", "names"),
    [
        ({"Item": "a", "item": "b"}, ["Item", "b"]),
        ({"a.b": "x", "a_b": "y", "a-b": "z"}, ["a.b", "y", "z"]),  # TensorFlow makes a_b of each
        ({"Preis €": "price", "price": "p"}, ["price_2", "price"]),  # what is clean comes first
        ({"a b": "class", "c d": "self"}, ["class_2", "self_2"]),
        ({"a b": "Item", "c d": "item"}, ["Item", "item_2"]),
    ],
)
def test_no_two_inputs_have_one_name(wishes: dict[str, str], names: list[str]) -> None:
    found = input_names(wishes)
    assert [found[column] for column in wishes] == names


def test_every_name_is_one_that_tensorflow_takes() -> None:
    rng = np.random.default_rng(0)
    letters = [*"aAbB1_.-/> :é商\n\"'$"]
    pool = ["".join(rng.choice(letters, rng.integers(0, 5))) for _ in range(300)]
    pool += [*keyword.kwlist, "self", "x" * 300]
    wishes_of_features = ["f", "F", "f_2", "a", "class", "self"]
    for _ in range(500):
        columns = rng.choice(pool, 12)
        wishes = {str(column): str(rng.choice(wishes_of_features)) for column in columns}
        found = input_names(wishes)
        assert found.keys() == wishes.keys()
        arguments = [re.sub(r"\W", "_", name.lower(), flags=re.ASCII) for name in found.values()]
        assert len(set(arguments)) == len(wishes)
        for name in found.values():
            assert re.fullmatch("[A-Za-z0-9.][A-Za-z0-9_.\\\\/>-]*", name)  # tf.Graph's own rule
            assert not keyword.iskeyword(name) and name != "self"


def test_a_schema_names_its_inputs_by_its_features() -> None:
    tags = Feature(name="tags", kind="hash", buckets=5, max_length=3, column="T s", weights="T w")
    again = Feature(name="again", kind="vocabulary", max_length=3, column="T s")
    hour = Feature(name="hour", kind="integer", size=24)
    schema = Schema(name="t", features=(again, tags, hour), tasks=(Task(name="a"),))
    names = {column.name: column.input for column in schema.inputs}
    assert names == {"T s": "again", "T w": "tags_weights", "hour": "hour"}


def test_a_feature_whose_files_could_not_be_named_is_refused() -> None:
    with pytest.raises(SchemaError, match="must be 200 characters or fewer"):
        Feature(name="x" * 201, kind="vocabulary")
