"""Multi-head attention whose queries are inducing points, scaled row by row by the selector."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def head_size(dim: int, num_heads: int) -> int:
    """e = d / M; raises ValueError if the heads do not divide the dimension."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"`num_heads` must divide the dimension {dim}. Received: num_heads={num_heads}")
    return dim // num_heads


@keras.saving.register_keras_serializable("tafe_tf")
class InducingPointAttention(keras.layers.Layer):
    """Eq. 17-19: O = concat_j(softmax((I_j * z) (H W^K_j)^T / sqrt(e)) H W^V_j) W^O, no biases.

    The queries are parameters, so the keys fold into them: (I_j * z) (H W^K_j)^T = z * (I_j W^K_j^T) H^T, where
    I_j W^K_j^T is [K, d] and the same for every row of the batch: no key is ever made. A row of I with z = 0
    attends evenly.

    Args:
        num_inducing: K.
        num_heads: M, a divisor of d.

    Call arguments:
        h: [B, F, d].
        z: [B, K].

    Returns:
        O, [B, K, d].
    """

    def __init__(self, num_inducing: int, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_inducing, self.num_heads = num_inducing, num_heads

    def build(self, h_shape: Any, z_shape: Any = None) -> None:
        """Makes I [K, d] and W^K, W^V, W^O [d, d]."""
        d = h_shape[-1]
        head_size(d, self.num_heads)
        self.inducing_points = self.add_weight(name="inducing_points", shape=(self.num_inducing, d))
        self.key = self.add_weight(name="key", shape=(d, d))
        self.value = self.add_weight(name="value", shape=(d, d))
        self.output_projection = self.add_weight(name="output", shape=(d, d))
        self.built = True

    def call(self, h: Any, z: Any) -> Any:
        """[B, F, d], [B, K] -> [B, K, d]."""
        fields, d = h.shape[-2:]
        heads, points, e = self.num_heads, self.num_inducing, head_size(d, self.num_heads)
        queries = ops.reshape(self.inducing_points, (points, heads, e))
        keys = ops.reshape(self.key, (d, heads, e))
        folded = ops.einsum("kme,dme->mkd", queries, keys) / math.sqrt(e)
        # z scales the small operand [B, M, K, d], not the scores [B, M, K, F]
        folded = folded * ops.expand_dims(ops.cast(z, folded.dtype)[:, None, :], -1)
        scores = ops.matmul(ops.reshape(folded, (-1, heads * points, d)), ops.transpose(h, (0, 2, 1)))  # [B, M K, F]
        attention = ops.reshape(ops.softmax(scores, axis=-1), (-1, heads, points, fields))
        values = ops.reshape(ops.matmul(h, self.value), (-1, fields, heads, e))
        mixed = ops.matmul(attention, ops.transpose(values, (0, 2, 1, 3)))  # [B, M, K, e]
        return ops.einsum("bmke,mec->bkc", mixed, ops.reshape(self.output_projection, (heads, e, d)))

    def compute_output_shape(self, h_shape: Any, z_shape: Any = None) -> tuple[int | None, int, int]:
        """[B, K, d]."""
        return (h_shape[0], self.num_inducing, h_shape[-1])
