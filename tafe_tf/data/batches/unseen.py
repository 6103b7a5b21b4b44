"""Ids that training takes for unseen values, so that the row which serves these is trained, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tafe_tf.data.hashing import of_places
from tafe_tf.schema import Feature, Schema

_KINDS = ("vocabulary", "integer")  # the others have a row for every value


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnseenIds:
    """Which ids of training batches are taken for those of unseen values.

    They are drawn by a hash of the seed, the epoch, the row's place in the files and the id's place
    in the row: the same for any number of readers, workers and interruptions.

    Attributes:
        share: The share of the ids. Default: 0, none.
        fields: The names of the fields whose ids are drawn; of a list each value is drawn alone.
            Default: none.
    """

    share: float = 0.0
    fields: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.share > 0 and len(self.fields) > 0

    def slots(self, schema: Schema) -> np.ndarray:
        """The places of the fields' ids among the S ids of a row, [s]."""
        which = []
        for feature in schema.id_features:
            is_drawn = feature.name in self.fields
            which += [is_drawn] * feature.slots
        return np.flatnonzero(which)


class UnseenDraw:
    """The draw of one epoch.

    Args:
        ids: Of which fields how many are drawn.
        schema: Of the rows.
        seed: Of the draw.
        epoch: The epoch, from 0.

    Example:
        >>> import numpy as np
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> hour = Feature(name="hour", kind="integer", size=24)
        >>> schema = Schema(name="shop", features=(hour,), tasks=(Task(name="click"),))
        >>> draw = UnseenDraw(UnseenIds(share=0.5, fields=["hour"]), schema, seed=0, epoch=0)
        >>> draw.mask(np.zeros(1000, np.int32), np.arange(1000)).mean()
        np.float64(0.482)
    """

    def __init__(
        self,
        ids: UnseenIds,
        schema: Schema,
        *,
        seed: int,
        epoch: int,
    ) -> None:
        self._below = np.uint64(ids.share * 2.0**53)
        self._slots = ids.slots(schema)
        self._width = sum(feature.slots for feature in schema.id_features)
        sequence = np.random.SeedSequence([seed, epoch])
        streams = sequence.generate_state(self._width, np.uint64)  # a hash of its own for each slot
        self._streams = [int(streams[slot]) for slot in self._slots]

    def mask(self, file: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Which ids are taken for unseen ones.

        Args:
            file: The index of each row's file, [B].
            row: Each row's number inside its file, [B].

        Returns:
            bool [B, S].
        """
        mask = np.zeros((len(row), self._width), np.bool_)
        for slot, stream in zip(self._slots, self._streams, strict=True):
            mask[:, slot] = of_places(file, row, stream) < self._below
        return mask


def untrained_fields(
    schema: Schema,
    unseen: Mapping[str, float],
) -> list[str]:
    """The fields whose row of unseen values no training row reads, but a served one may.

    Kinds "hash", "log_round" and "quantile" have a row for every value. What is always served as
    one value (`serve_as`) is never unseen. Where some training values are unseen, because they
    occur fewer than `min_count` times for example, these train the row. Fields that share rows
    share that of unseen values: what trains it for one trains it for all.

    Args:
        schema: Of the rows.
        unseen: The share of each field's training values that are unseen, as far as it is known.
    """
    trained = {feature.owner for feature in schema.features if unseen.get(feature.name)}
    return [
        feature.name
        for feature in schema.features
        if _may_be_unseen(feature) and feature.owner not in trained
    ]


def _may_be_unseen(feature: Feature) -> bool:
    return feature.kind in _KINDS and feature.serve_as is None
