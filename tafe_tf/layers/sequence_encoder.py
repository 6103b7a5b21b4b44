"""A history of ids as one row of H."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.layers.causal_transformer import CausalTransformer
from tafe_tf.layers.configured import Configured
from tafe_tf.layers.din_attention import DinAttention
from tafe_tf.layers.dot_attention import DotAttention
from tafe_tf.layers.parts import Parts
from tafe_tf.types import Shape, Tensor

Attention = Literal["din", "dot", "transformer"]
ATTENTIONS = ("din", "dot", "transformer")


@keras.saving.register_keras_serializable("tafe_tf")
class SequenceEncoder(Configured):
    """A user's history, read by the candidate, as one row of H.

    An entry of the history has an id of each of some fields of lists, the newest entry first, whose
    embeddings lie side by side. The candidate is the embeddings of some fields of one id each. An
    entry counts where a pooling weight of one of its ids is not 0, so padding changes nothing.

    Where entries have several ids, what comes out is projected to d numbers.

    Args:
        dim: Embedding dimension, d.
        lists: For each field of lists the first of its slots and the one after the last, as many
            slots each.
        query: The slots of the candidate's ids.
        attention: "din" (the default), see `DinAttention`; "dot", see `DotAttention`; or
            "transformer", a `CausalTransformer` whose states a `DotAttention` reads.
        units: Sizes of the hidden layers of DIN's activation unit; one of 36 by default.
        num_blocks: Number of the transformer's blocks; 2 by default.
        num_heads: Number of the transformer's heads; 1 by default.
        once: Whether the lists are the user's in a request to rank items, which then come with one
            row for all items, see `FieldEmbedding`. The default is False.

    Call arguments:
        inputs: What `reads` picks: "query", the candidate's embeddings side by side, [B, p];
            "entries", those of the history, [B, L, e]; and "mask", 1 where there is an entry and 0
            where there is padding, [B, L]. Entries and mask may have one row for all of B.

    Returns:
        [B, d].

    Raises:
        ValueError: If `attention` is none of the three, or there is no list or no query.

    Example:
        >>> import numpy as np
        >>> encoder = SequenceEncoder(dim=4, lists=[[0, 5]], query=[5])
        >>> encoder.build()
        >>> of_rows = {"query": np.ones((3, 4)), "entries": np.ones((3, 5, 4))}
        >>> tuple(encoder({**of_rows, "mask": np.ones((3, 5))}).shape)
        (3, 4)
    """

    def __init__(
        self,
        dim: int,
        lists: Sequence[Sequence[int]],
        query: Sequence[int],
        attention: Attention = "din",
        units: Sequence[int] = (36,),
        num_blocks: int = 2,
        num_heads: int = 1,
        once: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if attention not in ATTENTIONS:
            raise ValueError(f"`attention` must be one of {ATTENTIONS}. Received: {attention!r}")
        if not lists or not query:
            raise ValueError(
                "a sequence needs lists and a query. "
                f"Received: lists={list(lists)}, query={list(query)}"
            )
        self.dim = dim
        self.lists = [(int(first), int(end)) for first, end in lists]
        self.query = [int(slot) for slot in query]
        self.once = once
        first, end = self.lists[0]
        self.length = end - first
        self.transformer = None
        if attention == "din":
            self.attention = DinAttention(units, dtype=self.dtype_policy)
        else:
            self.attention = DotAttention(dtype=self.dtype_policy)
        if attention == "transformer":
            self.transformer = CausalTransformer(num_blocks, num_heads, dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes the projection [e, d], if there is one, and the layers' weights."""
        width = len(self.lists) * self.dim  # e
        self.projection = None
        if len(self.lists) > 1:
            self.projection = self.add_weight(name="projection", shape=(width, self.dim))
        if self.transformer is not None:
            width = self.dim
            self.transformer.build((None, self.length, width), (None, self.length))
        query_shape = (None, len(self.query) * self.dim)
        self.attention.build(query_shape, (None, self.length, width), (None, self.length))
        self.built = True

    def reads(self, parts: Parts) -> dict[str, Tensor]:
        """Picks what a call takes; see the class."""
        of_query = []
        for slot in self.query:
            h, _ = parts.slots(slot, slot + 1)
            of_query.append(h[:, 0])
        of_lists = []
        is_entry = None
        for first, end in self.lists:
            h, weights = parts.slots(first, end)
            of_lists.append(h)
            has_value = ops.not_equal(weights, 0)
            is_entry = has_value if is_entry is None else ops.logical_or(is_entry, has_value)
        entries, *others = of_lists
        if others:
            entries = ops.concatenate(of_lists, axis=-1)
        return {
            "query": ops.concatenate(of_query, axis=-1),
            "entries": entries,
            "mask": ops.cast(is_entry, entries.dtype),
        }

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Encodes the history: [B, p], [B, L, e], [B, L] -> [B, d]."""
        query = inputs["query"]
        entries = inputs["entries"]
        mask = inputs["mask"]
        if self.transformer is None:
            read = self.attention(query, entries, mask)  # [B, e]
            return self._projected(read)
        states = self.transformer(self._projected(entries), mask)
        return self.attention(query, states, mask)

    def _projected(self, x: Tensor) -> Tensor:
        """Brings entries, or what was read of them, to d numbers."""
        return x if self.projection is None else ops.matmul(x, self.projection)

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> Shape:
        """Returns [B, d]."""
        return (input_shape["query"][0], self.dim)
