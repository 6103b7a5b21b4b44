"""The kinds of encoders: what makes a row of H of other things than one pooled field of ids.

An encoder is a layer with `reads(parts)`, which picks what it takes of a batch (`Parts`), and a
call that makes [B, d] of that, or [B, k, d], k rows of H. What `reads` is given was not cast to
half precision; what a call is given is, as Keras does for every layer. A model keeps an encoder as
a mapping that JSON can hold: its "kind" and what else the kind needs.

* "number": "embedding" and "buckets", see `NumberEncoder`. Numbers of one setting that follow each
  other are one layer, which has as many rows: one step costs as much as it has operations.
* "vector": "length".
* "sequence": "features" and "query", the places of fields of ids among all of them, and the
  settings of `SequenceEncoder`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tafe_tf.layers.number_encoder import NumberEncoder
from tafe_tf.layers.sequence_encoder import SequenceEncoder
from tafe_tf.layers.vector_encoder import VectorEncoder

Encoder = Mapping[str, Any]
KINDS = ("number", "vector", "sequence")


def make(
    encoders: Sequence[Encoder],
    dim: int,
    slots: Sequence[int],
    dtype: Any,
) -> list[keras.layers.Layer]:
    """Makes the layers of encoders, whose rows stand in the same order.

    Args:
        encoders: Their mappings.
        dim: Embedding dimension, d.
        slots: The number of ids of each field of ids.
        dtype: The policy of their computations.

    Raises:
        ValueError: If a kind is not known, or one of the settings breaks its rule.
    """
    layers: list[keras.layers.Layer] = []
    numbers = 0  # before the next layer
    vectors = 0
    for encoder, alike in itertools.groupby(encoders):
        count = len(list(alike))
        settings = dict(encoder)
        kind = settings.pop("kind")
        if kind == "number":
            layers.append(NumberEncoder(dim, count, numbers, dtype=dtype, **settings))
            numbers += count
            continue
        for _ in range(count):
            if kind == "vector":
                layers.append(VectorEncoder(dim, first=vectors, dtype=dtype, **settings))
                vectors += settings["length"]
            elif kind == "sequence":
                layers.append(_sequence(settings, dim, slots, dtype))
            else:
                raise ValueError(f"`encoders` must be of the kinds {KINDS}. Received: {kind!r}")
    return layers


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
