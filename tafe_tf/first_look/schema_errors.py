"""All errors of a schema file at once, where reading it stops at the first."""

from __future__ import annotations

import pathlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.schema import Schema, SchemaError, Task
from tafe_tf.storage.texts import read_text

# What stands for a key that cannot be left out, once it was found to be wrong.
_REPLACEMENTS = {
    "name": "some_name",
    "size": 1,
    "buckets": 1,
}


def load_all(path: str | pathlib.Path) -> tuple[Schema | None, list[str]]:
    """Reads a schema, and finds all of its errors.

    Args:
        path: The TOML file.

    Returns:
        The schema, None if it has errors, and the errors, each with the file's name in front.

    Raises:
        OSError: If the file cannot be read.
    """
    try:
        return schema_toml.load(path), []
    except SchemaError as error:
        first = str(error)
    try:
        mapping = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return None, [first]
    errors = [f"{path}: {error}" for error in all_errors(mapping)]
    return None, errors or [first]


def all_errors(mapping: Mapping[str, Any]) -> list[str]:
    """All errors of a schema's mapping, as far as one does not hide another.

    Args:
        mapping: What `schema_toml.parse` takes.

    Example:
        >>> for error in all_errors({
        ...     "name": "shop",
        ...     "tasks": [{"name": "click", "weight": -1}],
        ...     "features": [{"name": "hour", "kind": "integer", "size": 0, "side": "left"}],
        ... }):
        ...     print(error)
        task 'click': weight must be a number, 0 or more. Received: -1
        feature 'hour': size must be an integer, 1 or more. Received: 0
        feature 'hour': side must be 'user' or 'item'. Received: 'left'
    """
    errors: list[str] = []
    unusable: list[Any] = []  # names of features that cannot be used, or not by these names
    good: dict[str, Any] = dict(mapping)
    for key, kind in schema_toml.TABLES.items():
        tables = mapping.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            continue  # the whole schema's own error says so
        good[key] = []
        for index, table in enumerate(tables):
            found, rest = _errors_of(kind, table, schema_toml.place(key, index, table))
            errors += _with_own_name(found, key, index, table)
            is_named = rest is not None and rest.get("name") == table.get("name")
            if key == "features" and not is_named:
                unusable.append(table.get("name"))
            if rest is not None:
                good[key].append(rest if is_named else {**rest, "name": f"{key}_{index}"})
    for name in unusable:
        good = _without_users(good, name)
    whole, _ = _peel(good, _parse)
    if errors:  # a list may be empty because none of its tables could be used
        whole = [error for error in whole if " must hold " not in error]
    return errors + whole


def _with_own_name(
    errors: Sequence[str],
    key: str,
    index: int,
    table: Mapping[str, Any],
) -> list[str]:
    """Errors of a table that name it as it is written, and not by what stood for a wrong name."""
    replaced = schema_toml.place(key, index, {**table, "name": _REPLACEMENTS["name"]})
    own = schema_toml.place(key, index, table)
    return [error.replace(replaced, own) for error in errors]


def _parse(mapping: Mapping[str, Any]) -> None:
    schema_toml.parse(mapping, where="")


def _errors_of(
    kind: Any,
    table: Mapping[str, Any],
    where: str,
) -> tuple[list[str], dict[str, Any] | None]:
    """The errors of one table, and the table without the keys that caused them."""

    def build(keys: Mapping[str, Any]) -> None:
        if kind is Task and keys.get("kind") == schema_toml.AMOUNT:
            schema_toml.build_amount(keys, where)
            return
        schema_toml.build(kind, keys, where)

    return _peel(table, build)


def _peel(
    table: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], None],
) -> tuple[list[str], dict[str, Any] | None]:
    """Mends one wrong key after the other, until what is left can be built or nothing helps.

    Returns:
        The errors, and what can be built; None if nothing can.
    """
    left = dict(table)
    errors: list[str] = []
    while True:
        error = _error(left, build)
        if not error:
            return errors, left
        errors.append(error)
        mended = _mended(left, build, errors)
        if mended is None:
            return errors, None
        left = mended


def _error(
    table: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], None],
) -> str:
    try:
        build(table)
    except SchemaError as error:
        return str(error).removeprefix(": ")
    return ""


def _mended(
    table: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], None],
    known: Sequence[str],
) -> dict[str, Any] | None:
    """The table with one thing changed, so that it has no error or one that is not yet known.

    A key that is needed is told at once where it is not there, and is else not left out.
    """
    for other in _changed(table, known[-1]):
        error = _error(other, build)
        if error not in known and " is required. " not in error:
            return other
    return None


def _changed(table: Mapping[str, Any], error: str) -> Iterator[dict[str, Any]]:
    """The table with one key replaced or left out, or with one of its tables left out."""
    for key, value in _REPLACEMENTS.items():
        if re.search(rf"(^|[:.] ?){key} ", error):
            yield {**table, key: value}
    for key in sorted(table, key=lambda key: f": {key} " not in error):  # what it names first
        if key not in (*schema_toml.TABLES, *_REPLACEMENTS, "kind"):
            yield {name: value for name, value in table.items() if name != key}
    for key, index in _places(table, error):
        items = table[key]
        left = {**table, key: items[:index] + items[index + 1 :]}
        if key == "features":
            left = _without_users(left, items[index].get("name"))
        if key == "sequences" or left[key]:
            yield left


def _places(table: Mapping[str, Any], error: str) -> list[tuple[str, int]]:
    """The key and the index of each table within a schema, those first that the error names."""
    places = []
    for key in schema_toml.TABLES:
        items = table.get(key, [])
        if isinstance(items, list) and all(isinstance(item, dict) for item in items):
            places += [(key, index) for index in range(len(items))]

    def is_other(place: tuple[str, int]) -> bool:
        key, index = place
        return not error.startswith(f"{schema_toml.place(key, index, table[key][index])}: ")

    return sorted(places, key=is_other)


def _without_users(mapping: Mapping[str, Any], name: object) -> dict[str, Any]:
    """A schema without the features that share a feature's rows, and without its sequences."""
    left = dict(mapping)
    names = {name}
    for key, keys in (("features", ("shares",)), ("sequences", ("features", "query"))):
        kept = []
        for table in left.get(key, []):
            named = {table.get(one) for one in keys if isinstance(table.get(one), str)}
            for one in keys:
                if isinstance(table.get(one), list):
                    named.update(table[one])
            if not named & names:
                kept.append(table)
            elif key == "features":
                names.add(table.get("name"))
        if key in left:
            left[key] = kept
    return left
