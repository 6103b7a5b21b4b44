"""Settings read off the code that uses them: a dataclass's fields, or a constructor's arguments.

The command line makes its flags from them, so that a name, a type, a default and an explanation are
written once.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing that a user may choose.

    Attributes:
        name: Its name.
        kind: Its type: int, float, bool, str, or list for a sequence of integers.
        choices: The values that it may have, if they are few; otherwise empty.
        default: Its value where nobody chooses.
        explanation: What it means, as sentences.
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    default: Any
    explanation: str


def check(setting: Setting, value: Any) -> None:
    """Refuses a value of the wrong kind; None is always allowed where it is the default.

    Raises:
        ValueError: Naming the setting, the rule and the value.
    """
    if value is None and setting.default is None:
        return
    if setting.choices:
        holds = value in setting.choices
        rule = f"must be one of {', '.join(setting.choices)}"
    elif setting.kind is bool:
        holds = isinstance(value, bool | np.bool_)
        rule = "must be True or False"
    elif setting.kind is int:
        holds = _is_whole(value)
        rule = "must be a whole number"
    elif setting.kind is float:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        holds = is_number and math.isfinite(value)
        rule = "must be a finite number"
    elif setting.kind is list:
        is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
        holds = is_sequence and all(_is_whole(size) and size > 0 for size in value)
        rule = "must be a list of positive whole numbers"
    else:
        holds = isinstance(value, str | os.PathLike)
        rule = "must be a text"
    if not holds:
        raise ValueError(f"{setting.name} {rule}. Received: {value!r}")


def require(
    owner: Any,
    name: str,
    holds: bool,
    rule: str,
) -> None:
    """Refuses the value of an attribute of `owner` unless its rule holds.

    Raises:
        ValueError: Naming the attribute, the rule and the value.
    """
    if not holds:
        raise ValueError(f"{name} {rule}. Received: {getattr(owner, name)!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def of_dataclass(cls: type) -> dict[str, Setting]:
    """The fields of a dataclass, explained by the "Attributes" of its docstring, by name."""
    hints = typing.get_type_hints(cls)
    explained = explanations(cls, "Attributes")
    found = {}
    for field in dataclasses.fields(cls):
        found[field.name] = _setting(
            field.name,
            hints[field.name],
            field.default,
            explained,
        )
    return found


def of_constructor(cls: type) -> dict[str, Setting]:
    """The arguments with a default of a class's constructor and of its bases', by name.

    They are explained by the "Args" of the class's docstring, or of a base's.
    """
    found: dict[str, Setting] = {}
    for base in cls.__mro__:
        is_ours = base.__module__.startswith("tafe_tf.")
        if not is_ours or "__init__" not in vars(base):
            continue
        constructor = vars(base)["__init__"]
        hints = typing.get_type_hints(constructor)
        explained = explanations(base, "Args")
        parameters = inspect.signature(constructor).parameters
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty:
                continue
            known = found.get(name)
            if known is None:
                found[name] = _setting(
                    name,
                    hints[name],
                    parameter.default,
                    explained,
                )
            elif not known.explanation and name in explained:
                found[name] = dataclasses.replace(known, explanation=explained[name])
    return found


def _setting(
    name: str,
    hint: Any,
    default: Any,
    explained: dict[str, str],
) -> Setting:
    kind, choices = _kind_of(hint)
    return Setting(
        name=name,
        kind=kind,
        choices=choices,
        default=default,
        explanation=explained.get(name, ""),
    )


def _kind_of(hint: Any) -> tuple[type, tuple[str, ...]]:
    """The kind and the choices of an annotation, None aside."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = typing.get_args(hint)
        (hint,) = (part for part in parts if part is not type(None))
    origin = typing.get_origin(hint)
    if origin is Literal:
        return str, typing.get_args(hint)
    if origin is not None and issubclass(origin, Sequence):
        return list, ()
    return hint, ()


def explanations(cls: type, section: str) -> dict[str, str]:
    """The entries of a section of a class's docstring, each as one line, by name.

    Args:
        cls: The class.
        section: The section's title, such as "Args".
    """
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    if f"{section}:" not in lines:
        return {}
    found: dict[str, str] = {}
    name = ""
    for line in lines[lines.index(f"{section}:") + 1 :]:
        if line and not line.startswith("    "):
            break
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".rstrip()
    return found
