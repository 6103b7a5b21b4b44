"""The checks that features, tasks and schemas share."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from tafe_tf.input_names import LONGEST
from tafe_tf.shown import shown

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class SchemaError(ValueError):
    """A schema breaks a rule; the message names the key, the rule and the value received."""


def is_number(value: object) -> bool:
    """Returns whether a value is an int or a float; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check(
    ok: bool,
    key: str,
    rule: str,
    value: object,
) -> None:
    """Raises a `SchemaError` that names the key, the rule and the value, unless it is `ok`."""
    if not ok:
        raise SchemaError(f"{key} {rule}. Received: {shown(value)}")


def check_integer(
    value: Any,
    least: int,
    key: str,
    most: int | None = None,
) -> None:
    """Checks that a value is an integer from `least` on, to `most` if that is given."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    ok = is_integer and value >= least
    check(ok, key, f"must be an integer, {least} or more", value)
    if most is not None:
        check(value <= most, key, f"must be {most:,} or less", value)


def check_name(
    value: object,
    key: str,
    *,
    has_column: bool = False,
) -> None:
    """Checks that a value can name a field, a step or a dataset.

    Args:
        value: The name.
        key: The key that it is given with.
        has_column: Whether the raw column may be named beside it.
    """
    ok = isinstance(value, str) and _IDENTIFIER.match(value) is not None
    rule = "must be letters, digits and underscores, starting with a letter"
    if has_column:
        rule += " (`column` may be any name)"
    check(ok, key, rule, value)
    is_short = len(str(value)) <= LONGEST  # files are named by it
    check(is_short, key, f"must be {LONGEST} characters or fewer", value)


def check_one_of(
    value: object,
    known: Iterable[str],
    key: str,
) -> None:
    """Checks that a value is one of those that are known."""
    check(value in list(known), key, f"must be one of {list(known)}", value)


def check_separator(value: object, key: str) -> None:
    """Checks that a value is one character."""
    ok = isinstance(value, str) and len(value) == 1
    check(ok, key, "must be one character", value)


def check_texts(
    item: Any,
    start: str,
    but: tuple[str, ...] = (),
) -> None:
    """Checks that what is a string by default is one, `but` for some."""
    for field in dataclasses.fields(item):
        if isinstance(field.default, str) and field.name not in but:
            value = getattr(item, field.name)
            check(
                isinstance(value, str),
                f"{start}{field.name}",
                "must be a string",
                value,
            )


def tuple_of(
    kind: type,
    items: Any,
    key: str,
) -> tuple[Any, ...]:
    """Checks that `items` is a list or tuple of one type, and returns it as a tuple."""
    is_sequence = isinstance(items, (list, tuple))
    ok = is_sequence and all(isinstance(item, kind) for item in items)
    check(ok, key, f"must be a sequence of {kind.__name__}", items)
    return tuple(items)


def check_distinct(kind: str, names: list[str]) -> None:
    """Checks that no name is given twice."""
    for name in names:
        count = names.count(name)
        check(
            count == 1,
            f"{kind} {name!r}: name",
            "must be given once",
            count,
        )
