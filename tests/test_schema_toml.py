"""Schemas in and out of TOML and dicts: what is written reads back as what it was."""

from __future__ import annotations

import pathlib
import tomllib
from typing import Any

import numpy as np
import pytest

from tafe_tf import schema_toml
from tafe_tf.schema import ORDERS, Feature, Schema, SchemaError, Task

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "flagfiles" / "schemas").glob("*.toml"))
TEXTS = ["x", "a b", "Köln", '"', "\\", "a\nb", "\t", "\r", "\x7f", "😀", "#", "=", "[[features]]"]
SEPARATORS = [";", '"', "\\", "\n", "\t", "、", "|"]


def drawn(seed: int) -> Schema:
    """A schema with any of the keys, at their defaults or not."""
    rng = np.random.default_rng(seed)
    features = tuple(drawn_feature(rng, i) for i in range(rng.integers(1, 6)))
    tasks = tuple(drawn_task(rng, i) for i in range(rng.integers(1, 5)))
    special: dict[str, Any] = {
        "order": str(rng.choice(ORDERS)),
        "delimiter": str(rng.choice(["", ",", ";", "\t"])),
        "quote": str(rng.choice(["", '"', "'"])),
    }
    if rng.random() < 0.5:
        special["missing"] = TEXTS[: rng.integers(4)]
    for key in ("sample_weight", "group", "time"):
        if rng.random() < 0.5:
            special[key] = f"{key} {rng.choice(TEXTS)}"
    return Schema(name=f"drawn_{seed}", features=features, tasks=tasks, **special)


def drawn_feature(rng: np.random.Generator, number: int) -> Feature:
    kind = str(rng.choice(["vocabulary", "integer", "hash", "log_round", "quantile"]))
    keys: dict[str, object] = {"side": str(rng.choice(["user", "item"]))}
    if kind == "integer":
        keys["size"] = int(rng.integers(1, 10**8))
    if kind == "hash":
        keys["buckets"] = int(rng.integers(1, 10**8))
    if kind == "quantile" and rng.random() < 0.5:
        keys["buckets"] = int(rng.integers(2, 10**4))
    if kind == "vocabulary" and rng.random() < 0.5:
        keys["min_count"] = int(rng.integers(1, 50))
    if kind in ("vocabulary", "hash"):
        keys["dtype"] = str(rng.choice(["string", "int64"]))
    if kind == "log_round":
        keys["scale"] = [4, 4.0, 1e-7, float(rng.random() + 0.1)][rng.integers(4)]
        keys["max_abs"] = [1, 1e9, 1e300, 0.1 + 0.2][rng.integers(4)]
    if rng.random() < 0.5:
        keys["max_length"] = int(rng.integers(1, 100))
        keys["pooling"] = str(rng.choice(["mean", "sum"]))
        keys["separator"] = str(rng.choice(SEPARATORS))
        if rng.random() < 0.5:
            keys["weights"] = f"weights {number} {rng.choice(TEXTS)}"
    if rng.random() < 0.5:
        keys["column"] = f"column {number} {rng.choice(TEXTS)}"
    return Feature(name=f"f{number}", kind=kind, **keys)  # type: ignore[arg-type]


def drawn_task(rng: np.random.Generator, number: int) -> Task:
    keys: dict[str, object] = {"weight": [0, 1, 1.0, 2, 1 / 3, 1e22][rng.integers(6)]}
    if rng.random() < 0.5:
        keys["column"] = f"label {number} {rng.choice(TEXTS)}"
    if rng.random() < 0.3:
        keys["when"] = "present"
    elif rng.random() < 0.5:
        keys["positive"] = TEXTS[:2]
        keys["negative"] = TEXTS[2:4]
    if rng.random() < 0.5:
        keys["truth"] = f"truth {number} {rng.choice(TEXTS)}"
    if number and rng.random() < 0.5:
        via = f"via {number} {rng.choice(TEXTS)}"
        keys["via"] = via if rng.random() < 0.5 else ["micro " + via, via]
    return Task(name=f"t{number}", **keys)  # type: ignore[arg-type]


def test_what_is_dumped_loads_as_what_it_was(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    for seed in range(300):
        schema = drawn(seed)
        path.write_text(schema_toml.dump(schema), encoding="utf-8", newline="\n")
        loaded = schema_toml.load(path)
        assert repr(loaded) == repr(schema)  # repr: an integer stays one, and so does a float
        assert loaded == schema and hash(loaded) == hash(schema)
        assert schema_toml.parse(tomllib.loads(path.read_text("utf-8"))) == schema


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schemas_of_the_repository_are_dumped_and_loaded(path: pathlib.Path) -> None:
    schema = schema_toml.load(path)
    assert schema_toml.parse(tomllib.loads(schema_toml.dump(schema))) == schema


def test_only_what_differs_from_the_defaults_is_written() -> None:
    schema = Schema(
        name="shop",
        group="user",
        tasks=(Task(name="click"), Task(name="buy", column="bought", weight=2.0)),
        features=(
            Feature(name="user", kind="vocabulary", min_count=1),
            Feature(name="price", kind="log_round", column="eur", scale=8.0),
        ),
    )
    assert tomllib.loads(schema_toml.dump(schema)) == {
        "name": "shop",
        "group": "user",
        "tasks": [{"name": "click"}, {"name": "buy", "column": "bought", "weight": 2.0}],
        "features": [
            {"name": "user", "kind": "vocabulary"},
            {"name": "price", "kind": "log_round", "column": "eur", "scale": 8.0},
        ],
    }


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b'name = "a"\nname = "b"'])
def test_what_is_no_toml_is_an_error_that_names_the_file(
    tmp_path: pathlib.Path, content: bytes
) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=rf"^{path}: .+"):
        schema_toml.load(path)


def test_a_dict_may_hold_tuples_and_names_itself_in_errors() -> None:
    mapping = {
        "name": "shop",
        "tasks": ({"name": "click"}, {"name": "buy"}),
        "features": ({"name": "hour", "kind": "integer", "size": 24},),
    }
    assert schema_toml.parse(mapping).tasks == (Task(name="click"), Task(name="buy"))
    with pytest.raises(SchemaError, match=r"^schema: the top level: owner is not a key"):
        schema_toml.parse({**mapping, "owner": "me"})
    with pytest.raises(SchemaError, match=r"^fit: features must be written as \[\[features\]\]"):
        schema_toml.parse({**mapping, "features": mapping["features"][0]}, where="fit")


def test_an_empty_file_is_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text("# to be written\n")
    with pytest.raises(SchemaError, match=r"schema\.toml: holds no key; `tafe draft` writes a f"):
        schema_toml.load(path)
