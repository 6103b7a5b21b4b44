"""The fields of a model, and which columns of its inputs are theirs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tafe_tf.features.graph import Features
from tafe_tf.schema import Schema

TOGETHER = "+"  # between the names of fields that are permuted together


class Field(NamedTuple):
    """A field, or some fields that are taken together.

    Attributes:
        name: The field's name, or the names with `TOGETHER` between them.
        places: Which columns of each of the model's inputs are the field's, by the input's name.
    """

    name: str
    places: Mapping[str, Sequence[int]]


def fields_of(features: Features) -> list[Field]:
    """Gives the fields in the order of the rows of H, see `Schema.fields`.

    A sequence is one field with all its lists, and a list goes with its weights. Fields that share
    rows of the table are each their own.

    Args:
        features: The feature graph.
    """
    schema = features.schema
    starts = itertools.accumulate(features.slots, initial=0)
    slots: dict[str, list[int]] = {}
    for feature, start, count in zip(schema.id_features, starts, features.slots, strict=False):
        slots[feature.name] = list(range(start, start + count))
    for sequence in schema.sequences:
        slots[sequence.name] = [slot for name in sequence.features for slot in slots[name]]
    others = _columns_of_numbers(schema) | _columns_of_vectors(schema)
    of_ids = [name for name in ("ids", "weights") if name in features.model_signature]
    found = []
    for name in schema.fields:
        places = others.get(name) or {of_input: slots[name] for of_input in of_ids}
        found.append(Field(name, places))
    return found


def _columns_of_numbers(schema: Schema) -> dict[str, dict[str, list[int]]]:
    numbers = [feature.name for feature in schema.features if feature.kind == "number"]
    return {name: {"numbers": [place]} for place, name in enumerate(numbers)}


def _columns_of_vectors(schema: Schema) -> dict[str, dict[str, list[int]]]:
    found = {}
    start = 0
    for feature in schema.features:
        if feature.kind == "vector":
            end = start + feature.length
            found[feature.name] = {"vectors": list(range(start, end))}
            start = end
    return found


def chosen(fields: Sequence[Field], names: Sequence[str]) -> list[Field]:
    """Picks fields by their names.

    Args:
        fields: All of them.
        names: Names, each of one field or of several with `TOGETHER` between them; none for all.

    Raises:
        ValueError: Naming a field that is not there.

    Example:
        >>> user, item = Field("user", {"ids": [0]}), Field("item", {"ids": [1]})
        >>> chosen([user, item], ["item+user"])
        [Field(name='item+user', places={'ids': [1, 0]})]
    """
    by_name = {field.name: field for field in fields}
    found = []
    for name in names or by_name:
        parts = [name] if name in by_name else name.split(TOGETHER)
        unknown = [part for part in parts if part not in by_name]
        if unknown:
            raise ValueError(
                f"--fields must be some of {', '.join(by_name)}, or several of them with "
                f"{TOGETHER!r} between them. Received: {unknown[0]!r}"
            )
        found.append(_together(name, [by_name[part] for part in parts]))
    return found


def _together(name: str, fields: Sequence[Field]) -> Field:
    places: dict[str, list[int]] = {}
    for field in fields:
        for of_input, columns in field.places.items():
            places.setdefault(of_input, []).extend(columns)
    return Field(name, places)


def permuted(
    inputs: Mapping[str, np.ndarray],
    field: Field,
    order: np.ndarray,
) -> dict[str, np.ndarray]:
    """Gives each row the field's value of another row.

    Args:
        inputs: The model's inputs, [n, any] each.
        field: Whose values move.
        order: Of each row the number of the row whose value it gets, [n].

    Returns:
        The inputs, of which those that change are copies.
    """
    changed = dict(inputs)
    for name, columns in field.places.items():
        values = inputs[name].copy()
        values[:, columns] = inputs[name][order][:, columns]
        changed[name] = values
    return changed
