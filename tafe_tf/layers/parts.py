"""What the encoders of a row's fields may read of a batch."""

from __future__ import annotations

import dataclasses

from tafe_tf.types import Tensor


@dataclasses.dataclass(frozen=True)
class Looked:
    """Consecutive slots that were looked up.

    Attributes:
        first: The first of them among the S slots of a row.
        end: The slot after the last of them.
        h: Their embeddings, [B, s, d], or [1, s, d] for what all rows have in common.
        weights: Their pooling weights, [B, s] or [1, s]; None where no field has lists.
    """

    first: int
    end: int
    h: Tensor
    weights: Tensor


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the encoders may read of a batch.

    Attributes:
        looked: The slots of all fields of ids, each in one of these.
        numbers: Raw numbers, float32 [B, M], NaN where they are missing. Default: None, no field
            has them.
        vectors: The numbers of all vectors, float32 [B, V]. Default: None, no field has them.
    """

    looked: tuple[Looked, ...]
    numbers: Tensor = None
    vectors: Tensor = None

    def slots(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """The embeddings of consecutive slots of one field, [B, end - first, d], and weights."""
        for looked in self.looked:
            if looked.first == first and looked.end == end:
                return looked.h, looked.weights
            if looked.first <= first and end <= looked.end:
                own = slice(first - looked.first, end - looked.first)
                weights = None if looked.weights is None else looked.weights[:, own]
                return looked.h[:, own], weights
        raise KeyError(f"no slot {first} was looked up")
