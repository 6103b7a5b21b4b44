"""The names by which an exported model takes its columns."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

LONGEST = 200  # characters

# What TensorFlow takes as the name of a placeholder.
_PLACEHOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.>/-]*\Z")
_RESERVED = {*keyword.kwlist, "self"}


def input_names(wishes: Mapping[str, str]) -> dict[str, str]:
    """Gives each column the name of an input.

    A column keeps its own name wherever an export can take an input of that name beside the others.
    Any other column gets the name that is wished for, with a number behind it if another input has
    that name.

    Args:
        wishes: For each column, in the schema's order, the name to take if its own cannot be.

    Returns:
        The input's name by the column's name. No two are equal, whatever the case of their letters.

    Example:
        >>> from tafe_tf.input_names import input_names
        >>> input_names({"Item No": "item", "hour": "hour", "Hour": "time", "class": "item"})
        {'hour': 'hour', 'Item No': 'item', 'Hour': 'time', 'class': 'item_2'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in wishes:
        if _is_input_name(column) and argument_of(column) not in taken:
            names[column] = column
            taken.add(argument_of(column))
    for column, wish in wishes.items():
        if column not in names:
            names[column] = _free_name(wish, taken)
            taken.add(argument_of(names[column]))
    return names


def _is_input_name(name: str) -> bool:
    is_placeholder = _PLACEHOLDER.match(name) is not None
    return is_placeholder and name not in _RESERVED and len(name) <= LONGEST


def _free_name(wish: str, taken: set[str]) -> str:
    """The wish itself, or the first of wish_2, wish_3, ... that no other input has."""
    name = wish
    number = 1
    while not _is_input_name(name) or argument_of(name) in taken:
        number += 1
        name = f"{wish}_{number}"
    return name


def argument_of(name: str) -> str:
    """What TensorFlow makes of an input's name, by which it tells two inputs apart.

    It takes an input as an argument of a Python function, and its graphs do not tell letters by
    their case.

    Example:
        >>> argument_of("a.b"), argument_of("A_b"), argument_of("7")
        ('a_b', 'a_b', 'arg_7')
    """
    argument = re.sub("[^a-z0-9]", "_", name.lower())
    return argument if argument[0].isalpha() else f"arg_{argument}"
