"""The kinds of encoders: what makes a row of H of other things than one pooled field of ids.

An encoder is a layer with `reads(parts)`, which picks what it takes of a batch (`Parts`), and a
call that makes [B, d] of that. What `reads` is given was not cast to half precision; what a call is
given is, as Keras does for every layer. A model keeps an encoder as a mapping that JSON can hold:
its "kind" and what else the kind needs.

* "sequence": "features" and "query", the places of fields of ids among all of them, and the
  settings of `SequenceEncoder`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tafe_tf.layers.sequence_encoder import SequenceEncoder

Encoder = Mapping[str, Any]


def make(encoder: Encoder, dim: int, slots: Sequence[int], dtype: Any) -> keras.layers.Layer:
    """Makes an encoder's layer.

    Args:
        encoder: Its mapping.
        dim: Embedding dimension, d.
        slots: The number of ids of each field of ids.
        dtype: The policy of its computations.

    Raises:
        ValueError: If its kind is not known, or one of its settings breaks its rule.
    """
    kind = encoder["kind"]
    if kind not in _KINDS:
        raise ValueError(f"`encoders` must be of the kinds {list(_KINDS)}. Received: {kind!r}")
    settings = {key: value for key, value in encoder.items() if key != "kind"}
    return _KINDS[kind](settings, dim, slots, dtype)


def taken(encoders: Sequence[Encoder]) -> set[int]:
    """The fields of ids that a sequence takes, so that they are no rows of H of their own."""
    fields: set[int] = set()
    for encoder in encoders:
        if encoder["kind"] == "sequence":
            fields.update(encoder["features"])
    return fields


def once_places(encoders: Sequence[Encoder], slots: Sequence[int]) -> list[int]:
    """The slots of the sequences that may come once for all rows, see `FieldEmbedding`, in order.

    Args:
        encoders: The mappings.
        slots: The number of ids of each field of ids.
    """
    starts = list(itertools.accumulate(slots, initial=0))
    places: list[int] = []
    for encoder in encoders:
        if encoder["kind"] == "sequence" and encoder.get("once"):
            for field in encoder["features"]:
                places += range(starts[field], starts[field + 1])
    return sorted(places)


def widths(encoders: Sequence[Encoder]) -> dict[str, int]:
    """The number of columns of each further input of a model, "numbers" and "vectors", if any."""
    found = {"numbers": 0, "vectors": 0}
    for encoder in encoders:
        if encoder["kind"] == "number":
            found["numbers"] += 1
        if encoder["kind"] == "vector":
            found["vectors"] += encoder["length"]
    return {name: width for name, width in found.items() if width}


def _sequence(
    settings: Mapping[str, Any],
    dim: int,
    slots: Sequence[int],
    dtype: Any,
) -> SequenceEncoder:
    """A sequence's layer, with slots in place of fields."""
    starts = list(itertools.accumulate(slots, initial=0))
    own = dict(settings)
    lists = [starts[field : field + 2] for field in own.pop("features")]
    query = [starts[field] for field in own.pop("query")]
    return SequenceEncoder(dim, lists, query, dtype=dtype, **own)


_KINDS: dict[str, Callable[..., keras.layers.Layer]] = {"sequence": _sequence}
