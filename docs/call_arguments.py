"""An extension of griffe for `make docs`: what a layer or model is called with and returns.

A class of Keras documents its call in its own docstring, under "Call arguments:" and "Returns:".
Google's style knows neither in a class, so both become Markdown here.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Call arguments|Returns):\n((?:    .*\n|\n)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^(\w+): ", re.MULTILINE)
_ITEM = r"- **`\1`**: "


class CallArguments(griffe.Extension):
    """Rewrites the two sections in the docstrings of classes."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Called for each class that griffe has read."""
        if cls.docstring:
            text = inspect.cleandoc(cls.docstring.value) + "\n"
            cls.docstring.value = _SECTION.sub(_as_markdown, text)


def _as_markdown(section: re.Match[str]) -> str:
    title, indented = section.groups()
    body = inspect.cleandoc(indented)
    if title == "Call arguments":
        body = _ARGUMENT.sub(_ITEM, body)
    return f"**{title}:**\n\n{body}\n\n"
