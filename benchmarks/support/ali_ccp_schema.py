"""The schema of data with Ali-CCP's fields."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from tafe_tf import schema_toml
from tafe_tf.schema import Feature, Schema, Task

_USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129", "301")


def write_schema(directory: pathlib.Path, fields: Mapping[str, int]) -> Schema:
    """Makes the directory and its schema.toml, every field a number below its size."""
    directory.mkdir(parents=True)
    features = tuple(
        Feature(
            name=f"f{name}",
            kind="integer",
            size=size,
            side="user" if name in _USER else "item",
        )
        for name, size in fields.items()
    )
    tasks = (Task(name="click"), Task(name="buy"))
    schema = Schema(name="ali_ccp", features=features, tasks=tasks)
    (directory / "schema.toml").write_text(schema_toml.dump(schema), encoding="utf-8")
    return schema
