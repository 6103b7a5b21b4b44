"""Values and names as error messages show them: cut, so that one never fills a log."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 120  # characters of a value in a message


def shown(value: object) -> str:
    """Writes a value as Python does, cut to 120 characters.

    Example:
        >>> shown("seven")
        "'seven'"
        >>> text = shown("7" * 1000)
        >>> len(text), text[-4:]
        (120, '7...')
    """
    if isinstance(value, str | bytes | bytearray | list | tuple):
        value = value[: LONGEST + 1]  # the rest would be written in vain
    return cut(repr(value))


def cut(text: str) -> str:
    """Cuts a text to 120 characters, the last of them dots.

    Example:
        >>> cut("seven")
        'seven'
    """
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def listed(names: Iterable[str]) -> str:
    """Lists names, as many as 120 characters hold, and how many more there are.

    Example:
        >>> listed(["user", "item"])
        'user, item'
        >>> listed(f"column{i}" for i in range(1000))[-21:]
        'column12 and 987 more'
    """
    kept: list[str] = []
    length = 0
    others = 0
    for name in names:
        name = cut(name)
        length += len(name) + len(", ")
        if kept and length > LONGEST:
            others += 1
        else:
            kept.append(name)
    rest = f" and {others:,} more" if others else ""
    return ", ".join(kept) + rest
