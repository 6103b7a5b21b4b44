"""Target attention over a history, by scaled dot products."""

from __future__ import annotations

import math

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.din_attention import sum_of_entries
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class DotAttention(Configured):
    """A mean of a history's entries and of no entry, weighted by the candidate.

    The weights are softmax((q W + b) k_l^T / sqrt(e)) over the entries and one more, which is
    learned and stands for "none of them". A history without entries is that one alone.

    Call arguments:
        query: q, [B, p].
        keys: k, [B, L, e], or [1, L, e], one history for all queries.
        mask: 1 where there is an entry and 0 where there is padding, [B, L] or [1, L].

    Returns:
        The mean, [B, e].

    Example:
        >>> import numpy as np
        >>> attention = DotAttention()
        >>> tuple(attention(np.ones((3, 2)), np.ones((3, 5, 4)), np.ones((3, 5))).shape)
        (3, 4)
    """

    def build(self, query_shape: Shape, keys_shape: Shape, mask_shape: Shape | None = None) -> None:
        """Makes W [p, e], b [e], and the vector [e] and the score [1] of no entry."""
        p = query_shape[-1]
        e = keys_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(p, e))
        self.bias = self.add_weight(name="bias", shape=(e,), initializer="zeros")
        self.none = self.add_weight(name="none", shape=(e,), initializer="zeros")
        self.none_score = self.add_weight(name="none_score", shape=(1,), initializer="zeros")
        self.built = True

    def call(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Computes the mean: [B, p], [B, L, e], [B, L] -> [B, e]."""
        e = keys.shape[-1]
        projected = ops.matmul(query, self.kernel) + self.bias  # [B, e]
        projected = projected / math.sqrt(e)
        if keys.shape[0] == 1:  # one history for all queries: one product of two matrices
            scores = ops.matmul(projected, ops.transpose(keys[0]))  # [B, L]
        else:
            scores = ops.matmul(keys, ops.expand_dims(projected, -1))[..., 0]
        scores = masked(scores, mask)
        of_none = ops.zeros_like(scores[:, :1]) + self.none_score  # [B, 1]
        weights = ops.softmax(ops.concatenate([scores, of_none], axis=1), axis=-1)
        mean = sum_of_entries(weights[:, :-1], keys)
        return mean + weights[:, -1:] * self.none

    def compute_output_shape(
        self,
        query_shape: Shape,
        keys_shape: Shape,
        mask_shape: Shape | None = None,
    ) -> Shape:
        """Returns [B, e]."""
        return (query_shape[0], keys_shape[-1])


def masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Makes scores so low where the mask is 0 that no type's softmax gives them any weight."""
    lowest = ops.cast(-3e4, scores.dtype)  # within float16's range
    return ops.where(ops.cast(mask, "bool"), scores, lowest)
