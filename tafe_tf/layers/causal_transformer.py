"""A small causal transformer over a history, as SASRec has it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.attention import head_size, transpose
from tafe_tf.layers.configured import Configured
from tafe_tf.layers.dot_attention import masked
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class CausalTransformer(Configured):
    """What each entry of a history means after the entries before it (Kang & McAuley 2018).

    An entry gets the vector of its place, and then blocks of x = x + Attention(LayerNorm(x)) and
    x = x + W_2 relu(W_1 LayerNorm(x)), where an entry attends to itself and to older ones, and
    never to padding. Last comes a LayerNorm. It differs from SASRec in that norms come before the
    parts of a block alone, as in GPT-2, and that it has no dropout.

    Args:
        num_blocks: Number of blocks; 2 by default.
        num_heads: Number of heads of the attention, a divisor of d; 1 by default.

    Call arguments:
        entries: [B, L, d], the newest first and padding last.
        mask: 1 where there is an entry and 0 where there is padding, [B, L].

    Returns:
        The states of the entries, [B, L, d]. Those of padding have no meaning.

    Raises:
        ValueError: If `num_blocks` is below 1, or `num_heads` does not divide d.

    Example:
        >>> import numpy as np
        >>> transformer = CausalTransformer(num_blocks=1)
        >>> tuple(transformer(np.ones((3, 5, 4)), np.ones((3, 5))).shape)
        (3, 5, 4)
    """

    def __init__(self, num_blocks: int = 2, num_heads: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_blocks < 1:
            raise ValueError(f"`num_blocks` must be 1 or more. Received: num_blocks={num_blocks}")
        self.num_blocks = num_blocks
        self.num_heads = num_heads

    def build(self, entries_shape: Shape, mask_shape: Shape | None = None) -> None:
        """Makes the vectors of the L places, and the weights of each block."""
        _, length, d = entries_shape
        head_size(d, self.num_heads)
        self.places = self.add_weight(
            name="places",
            shape=(length, d),
            initializer=keras.initializers.RandomNormal(stddev=0.05),
        )
        shapes = {
            "query_key_value": (d, 3 * d),
            "output": (d, d),
            "wide": (d, d),
            "wide_bias": (d,),
            "narrow": (d, d),
            "narrow_bias": (d,),
        }
        self.blocks = []
        self.norms = []
        for i in range(self.num_blocks):
            block = {}
            for name, shape in shapes.items():
                start = "zeros" if len(shape) == 1 else "glorot_uniform"
                block[name] = self.add_weight(name=f"{name}_{i}", shape=shape, initializer=start)
            self.blocks.append(block)
        for _ in range(2 * self.num_blocks + 1):
            norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)
            norm.build((None, length, d))
            self.norms.append(norm)
        self.built = True

    def call(self, entries: Tensor, mask: Tensor) -> Tensor:
        """Computes the states: [B, L, d], [B, L] -> [B, L, d]."""
        x = entries + self.places
        *norms, last = self.norms
        seen = self._seen(mask)
        for i, block in enumerate(self.blocks):
            x = x + self._attend(block, norms[2 * i](x), seen)
            x = x + _feed_forward(block, norms[2 * i + 1](x))
        return last(x)

    def _seen(self, mask: Tensor) -> Tensor:
        """What is added to scores: 0 where an entry may read another, [B, 1, L, L], else very low.

        A sum has no gradient to compute, unlike a choice in each block.
        """
        length = mask.shape[1]
        place = ops.arange(length)
        is_older = place[None, :] >= place[:, None]  # the newest stands first, [L, L]
        is_entry = ops.cast(mask, "bool")[:, None, None, :]
        is_same = place[None, :] == place[:, None]  # padding reads itself, so that it is finite
        is_seen = ops.logical_or(ops.logical_and(is_older, is_entry), is_same)
        return masked(ops.zeros((), self.compute_dtype), is_seen)

    def _attend(self, block: dict[str, Tensor], x: Tensor, seen: Tensor) -> Tensor:
        """Lets each entry read itself and older ones, [B, L, d]."""
        _, length, d = x.shape
        heads = self.num_heads
        e = head_size(d, heads)
        rows = ops.reshape(x, (-1, d))  # [B L, d]
        projected = ops.matmul(rows, block["query_key_value"])
        projected = ops.reshape(projected, (-1, length, 3, heads, e))
        projected = ops.transpose(projected, (2, 0, 3, 1, 4))  # [3, B, M, L, e]
        queries = projected[0] / math.sqrt(e)
        scores = ops.matmul(queries, transpose(projected[1])) + seen  # [B, M, L, L]
        weights = ops.softmax(scores, axis=-1)
        mixed = ops.matmul(weights, projected[2])  # [B, M, L, e]
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, d))  # the heads side by side, [B L, d]
        attended = ops.matmul(mixed, block["output"])
        return ops.reshape(attended, (-1, length, d))

    def compute_output_shape(self, entries_shape: Shape, mask_shape: Shape | None = None) -> Shape:
        """Returns [B, L, d]."""
        return entries_shape


def _feed_forward(block: dict[str, Tensor], x: Tensor) -> Tensor:
    """Computes W_2 relu(W_1 x + b_1) + b_2 of each entry, [B, L, d]."""
    _, length, d = x.shape
    rows = ops.reshape(x, (-1, d))
    hidden = ops.relu(ops.matmul(rows, block["wide"]) + block["wide_bias"])
    out = ops.matmul(hidden, block["narrow"]) + block["narrow_bias"]
    return ops.reshape(out, (-1, length, d))
