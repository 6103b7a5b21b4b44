"""What patterns of paths mean: braces and wild characters, without a look at any file."""

from __future__ import annotations

import itertools
import re

from tafe_tf.data.errors import DataError

WILD = re.compile(r"[*?\[]")  # a character with which the wild part of a pattern begins
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def alternatives(text: str) -> list[str]:
    """The patterns that the braces of a text stand for; the text itself if it has none.

    Example:
        >>> alternatives("dt={08..10}/{a,b}.csv")[:3]
        ['dt=08/a.csv', 'dt=08/b.csv', 'dt=09/a.csv']
    """
    pieces = _BRACES.split(text)  # in turn, what stands outside of braces and within
    if len(pieces) == 1:
        return [text]
    choices = [_choices(piece) if place % 2 else [piece] for place, piece in enumerate(pieces)]
    found = ["".join(parts) for parts in itertools.product(*choices)]
    if "{" in "".join(pieces[::2]):  # braces within braces
        found = [pattern for text in found for pattern in alternatives(text)]
    return list(dict.fromkeys(found))


def _choices(inner: str) -> list[str]:
    """What stands within braces: some texts, or a range of numbers."""
    of_numbers = _RANGE.fullmatch(inner)
    if not of_numbers:
        return inner.split(",")
    first, last = of_numbers.groups()
    if int(first) > int(last):
        raise DataError(f"{{{inner}}}: a range must go up, as in {{08..11}}")
    width = len(first)
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def expression_of(pattern: str) -> str:
    """A pattern as a regular expression of paths; what lies below a folder matches as well."""
    found = ""
    place = 0
    while place < len(pattern):
        rest = pattern[place:]
        group = re.match(r"\[(!?)([^\]]+)\]", rest)
        if rest.startswith("**/"):
            taken, part = 3, r"(?:.*/)?"
        elif rest.startswith("**"):
            taken, part = 2, r".*"
        elif group:
            taken = group.end()
            negation = "^" if group[1] else ""
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", group[2])
            part = f"[{negation}{members}]"
        else:
            taken = 1
            part = {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
        found += part
        place += taken
    return f"{found}(?:/.*)?"
