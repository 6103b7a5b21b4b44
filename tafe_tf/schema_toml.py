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

    [[tasks]]                  # optional, the last: what a row that bought brought
    name = "spend"
    kind = "amount"

    [[features]]
    name = "user"
    kind = "vocabulary"        # or "integer", "hash", "log_round", "quantile"
    dtype = "int64"
    min_count = 10

    [[sequences]]              # optional: a history that the candidate reads
    name = "recent"
    features = ["history"]     # lists of one length each row
    query = ["item"]           # what they are compared with

    [score]                    # optional: what the signature `score` computes
    powers = { ctcvr = 1.0, amount_given_buy = 0.5, bid = 1.0 }
    inputs = ["bid"]

The docstrings of `Schema`, `Task`, `Amount`, `Feature`, `SequenceField` and `Score` list every key
with its rule and its default. A key that has its default may be left out.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import tomli_w

from tafe_tf.schema import (
    OF_OWNER,
    Amount,
    Feature,
    Schema,
    SchemaError,
    Score,
    SequenceField,
    Task,
)
from tafe_tf.shown import cut, shown
from tafe_tf.storage.texts import read_text

T = TypeVar("T", Feature, SequenceField, Task, Amount, Score, Schema)
AMOUNT = "amount"  # the kind of the task that is none
TABLES = {"tasks": Task, "features": Feature, "sequences": SequenceField}


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
    if not mapping:
        raise SchemaError(f"{path}: holds no key; `tafe draft` writes a first schema")
    return parse(mapping, where=str(path))


def parse(mapping: Mapping[str, Any], where: str = "schema") -> Schema:
    """Makes a schema of a dict that has the keys of the TOML file.

    Args:
        mapping: The top level's keys; "tasks", "features" and "sequences" hold a list of dicts
            each.
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
        if "amount" in mapping:
            rule = 'is not a key; an amount is the last of the tasks, with kind = "amount"'
            raise SchemaError(f"the top level: amount {rule}. Received: {shown(mapping['amount'])}")
        steps, amount = _parted(mapping)
        arguments["tasks"] = steps
        for key, cls in TABLES.items():
            arguments[key] = _items(cls, arguments, key)
        if amount is not None:
            arguments["amount"] = amount
        if "score" in mapping:
            arguments["score"] = _score(mapping["score"])
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
    tables = [("tasks", _keys(task)) for task in schema.tasks]
    if schema.amount is not None:
        keys = _keys(schema.amount)
        name = keys.pop("name")
        tables.append(("tasks", {"name": name, "kind": AMOUNT, **keys}))
    tables += [("features", _keys(feature)) for feature in schema.features]
    tables += [("sequences", _keys(sequence)) for sequence in schema.sequences]
    for key, table in tables:
        parts.append(f"[[{key}]]\n{tomli_w.dumps(table)}")
    if schema.score is not None:
        keys = _keys(schema.score)
        keys["powers"] = dict(schema.score.powers)
        parts.append(tomli_w.dumps({"score": keys}))
    return "\n".join(parts)


def _keys(item: Feature | SequenceField | Task | Amount | Score | Schema) -> dict[str, Any]:
    """The keys of one table that differ from their defaults."""
    keys = {}
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        default = getattr(item, "name", "") if field.name == "column" else field.default
        is_default = value == default and type(value) is type(default)  # 1 is not 1.0 in TOML
        is_part = isinstance(item, Schema) and field.name in (*TABLES, "amount", "score")
        is_of_owner = isinstance(item, Feature) and item.shares and field.name in OF_OWNER
        if not is_part and not is_default and not is_of_owner:
            keys[field.name] = value
    return keys


def place(
    key: str,
    index: int,
    table: Mapping[str, Any],
) -> str:
    """What messages about a table start with: its name, and its place where it has none.

    Args:
        key: A key of `TABLES`.
        index: Its place among the tables of this key.
        table: The table.

    Example:
        >>> place("features", 2, {"name": "hour"}), place("features", 2, {})
        ("feature 'hour'", 'features[2]')
    """
    name = table.get("name")
    if isinstance(name, str) and name:
        return f"{key.removesuffix('s')} {cut(name)!r}"
    return f"{key}[{index}]"


def _parted(mapping: Mapping[str, Any]) -> tuple[Any, Amount | None]:
    """The tables of the steps, and the amount that the last task may be."""
    tables = mapping.get("tasks", [])
    if not isinstance(tables, (list, tuple)):
        return tables, None
    steps = []
    amount: Amount | None = None
    for i, table in enumerate(tables):
        if not isinstance(table, Mapping) or "kind" not in table:
            steps.append(table)
            continue
        where = place("tasks", i, table)
        if table["kind"] != AMOUNT:
            rule = f'must be "{AMOUNT}", or left out for a step'
            raise SchemaError(f"{where}: kind {rule}. Received: {shown(table['kind'])}")
        amount = build_amount(table, where)
        if i != len(tables) - 1:
            rule = "must be that of the last task: an amount stands at the end of the funnel"
            raise SchemaError(f"task {amount.name!r}: kind {rule}. Received: {shown(AMOUNT)}")
    return steps, amount


def build_amount(table: Mapping[str, Any], where: str) -> Amount:
    """Makes an amount of the keys of its task, without `kind`; see `build`."""
    keys = {key: value for key, value in table.items() if key != "kind"}
    return build(Amount, keys, where)


def _score(table: Any) -> Score:
    """The score, of the keys of its table."""
    if not isinstance(table, Mapping):
        raise SchemaError(f"score must be written as a table [score]. Received: {shown(table)}")
    return build(Score, table, "score")


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
        item = build(cls, table, place(key, i, table))
        items.append(item)
    return tuple(items)


def _check_owner_keys(table: Mapping[str, Any], where: str) -> None:
    """Checks that a feature has a kind, or another one's rows and nothing that says which."""
    if not table.get("shares"):
        if "kind" not in table:
            raise SchemaError(f"{where}: kind is required. Received: None")
        return
    for key in OF_OWNER:
        if key in table:
            rule = f"comes from {shown(table['shares'])}, whose rows it shares; leave it out"
            raise SchemaError(f"{where}: {key} {rule}. Received: {shown(table[key])}")


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
            rule = f"is not a key; known are {', '.join(_known(cls))}"
            raise SchemaError(f"{where}: {cut(str(key))} {rule}. Received: {shown(value)}")
    if cls is Feature:
        _check_owner_keys(table, where)
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in table:
            raise SchemaError(f"{where}: {field.name} is required. Received: None")
    return cls(**table)


def _known(cls: type[T]) -> list[str]:
    """The keys of a table of the file, where an amount is one of the tasks."""
    names = [field.name for field in dataclasses.fields(cls)]
    if cls is Schema:
        names.remove(AMOUNT)
    if cls in (Task, Amount):
        names.append("kind")
    return names
