"""A schema as TOML, with the reason of each key behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tomli_w

_WIDTH = 100  # a longer line has its reason on the line before


class Table(NamedTuple):
    """One table of a TOML file.

    Attributes:
        header: Such as "[[tasks]]"; "" for the top level.
        keys: The keys and their values.
        reasons: The reason of some keys, by key.
    """

    header: str
    keys: Mapping[str, Any]
    reasons: Mapping[str, str]


def toml_text(
    comments: Sequence[str],
    tables: Sequence[Table],
    last: Sequence[str],
) -> str:
    """Writes the tables.

    Args:
        comments: Lines at the top.
        tables: The tables in order, the top level first.
        last: Lines at the end.

    Example:
        >>> print(toml_text(["A draft."], [Table("", {"name": "shop"}, {"name": "of x.csv"})], []))
        # A draft.
        name = "shop"  # of x.csv
        <BLANKLINE>
    """
    lines = [_comment(text) for text in comments]
    for table in tables:
        if table.header:
            lines += ["", table.header]
        for key, value in table.keys.items():
            lines += _lines(key, value, table.reasons.get(key, ""))
    if last:
        lines += ["", *(_comment(text) for text in last)]
    return "\n".join(lines) + "\n"


def _lines(
    key: str,
    value: Any,
    reason: str,
) -> list[str]:
    text = _one_line(key, value)
    if not reason:
        return [text]
    both = f"{text}  {_comment(reason)}"
    if len(both) <= _WIDTH:
        return [both]
    return [_comment(reason), text]


def _one_line(key: str, value: Any) -> str:
    if not isinstance(value, list | tuple):
        return tomli_w.dumps({key: value}).strip()
    items = [tomli_w.dumps({"item": item}).strip().removeprefix("item = ") for item in value]
    return f"{key} = [{', '.join(items)}]"


def _comment(text: str) -> str:
    """A text as a comment; what would break the line is written as an escape."""
    plain = "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )
    return f"# {plain}"
