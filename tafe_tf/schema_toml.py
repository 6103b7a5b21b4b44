"""A schema as TOML: the one reader and the one writer.

    name = "shop"
    group = "user"             # optional column: the user, for grouped AUC
    time = "timestamp"         # optional column: orders the rows for a chronological split
    sample_weight = "weight"   # optional column: how much a row counts

    [[tasks]]                  # in funnel order, one or more
    name = "click"

    [[tasks]]
    name = "buy"
    weight = 2.0               # w_i of eq. 25

    [[features]]
    name = "user"
    kind = "vocabulary"        # or "integer", "hash", "log_round"
    dtype = "int64"
    min_count = 10

The docstrings of `Schema`, `Task` and `Feature` list every key with its rule and its default. A
key that has its default may be left out.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import tomli_w

from tafe_tf.schema import Feature, Schema, SchemaError, Task
from tafe_tf.shown import cut, shown
from tafe_tf.storage.texts import read_text

T = TypeVar("T", Feature, Task, Schema)
_TABLES = {"tasks": Task, "features": Feature}


def load(path: str | pathlib.Path) -> Schema:
    """Reads a schema from a TOML file.

    Args:
        path: The file.

    Raises:
        SchemaError: If the file is no TOML, or a key is unknown, missing or breaks its rule. The
            message starts with the file's name.
        OSError: If the file cannot be read.
    """
    try:
        text = read_text(path)
        mapping = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: {error}") from None
    except RecursionError:
        raise SchemaError(f"{path}: has too many brackets inside each other") from None
    return parse(mapping, where=str(path))


def parse(mapping: Mapping[str, Any], where: str = "schema") -> Schema:
    """Makes a schema of a dict that has the keys of the TOML file.

    Args:
        mapping: The top level's keys; "tasks" and "features" hold a list of dicts each.
        where: What error messages start with. Default: "schema".

    Raises:
        SchemaError: If a key is unknown, missing or breaks its rule.

    Example:
        >>> from tafe_tf import schema_toml
        >>> schema = schema_toml.parse({
        ...     "name": "shop",
        ...     "tasks": [{"name": "click"}, {"name": "buy"}],
        ...     "features": [{"name": "hour", "kind": "integer", "size": 24}],
        ... })
        >>> schema.features[0].rows()
        26
    """
    try:
        arguments = dict(mapping)
        for key, cls in _TABLES.items():
            arguments[key] = _items(cls, mapping, key)
        return build(Schema, arguments, "the top level")
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from None


def dump(schema: Schema) -> str:
    """Writes a schema as TOML; `load` of the text gives an equal schema.

    Keys that have their default are left out.

    Args:
        schema: The schema.

    Example:
        >>> from tafe_tf import schema_toml
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> hour = Feature(name="hour", kind="integer", size=24)
        >>> schema = Schema(name="shop", features=(hour,), tasks=(Task(name="a"), Task(name="b")))
        >>> print(schema_toml.dump(schema))
        name = "shop"
        <BLANKLINE>
        [[tasks]]
        name = "a"
        <BLANKLINE>
        [[tasks]]
        name = "b"
        <BLANKLINE>
        [[features]]
        name = "hour"
        kind = "integer"
        size = 24
        <BLANKLINE>
    """
    parts = [tomli_w.dumps(_keys(schema))]
    for key in _TABLES:
        for item in getattr(schema, key):
            table = tomli_w.dumps(_keys(item))
            parts.append(f"[[{key}]]\n{table}")
    return "\n".join(parts)


def _keys(item: Feature | Task | Schema) -> dict[str, Any]:
    """The keys of one table that differ from their defaults."""
    keys = {}
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        default = item.name if field.name == "column" else field.default
        is_default = value == default and type(value) is type(default)  # 1 is not 1.0 in TOML
        if field.name not in _TABLES and not is_default:
            keys[field.name] = value
    return keys


def _items(
    cls: type[T],
    mapping: Mapping[str, Any],
    key: str,
) -> tuple[T, ...]:
    """The tasks or the features."""
    tables = mapping.get(key, [])
    is_list = isinstance(tables, (list, tuple))
    if not is_list or not all(isinstance(table, Mapping) for table in tables):
        raise SchemaError(f"{key} must be written as [[{key}]] tables. Received: {shown(tables)}")
    items = []
    for i, table in enumerate(tables):
        item = build(cls, table, f"{key}[{i}]")
        items.append(item)
    return tuple(items)


def build(
    cls: type[T],
    table: Mapping[str, Any],
    where: str,
) -> T:
    """Makes one part of a schema of its keys.

    Args:
        cls: `Feature`, `Task`, or `Schema` with tasks and features that are made already.
        table: The keys.
        where: What messages of unknown and missing keys start with.

    Raises:
        SchemaError: If a key is unknown, missing or breaks its rule.
    """
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    for key, value in table.items():
        if key not in names:
            rule = f"is not a key; known are {names}"
            raise SchemaError(f"{where}: {cut(str(key))} {rule}. Received: {shown(value)}")
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in table:
            raise SchemaError(f"{where}: {field.name} is required. Received: None")
    return cls(**table)
