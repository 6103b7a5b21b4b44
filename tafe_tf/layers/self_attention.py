"""Self-attention over the fields: what stands in for ASRG in the paper's first ablation."""

from __future__ import annotations

from typing import Any

import keras

from tafe_tf.layers.attention import head_size


@keras.saving.register_keras_serializable("tafe_tf")
class FieldSelfAttention(keras.layers.Layer):
    """Y = LayerNorm(H + MultiHead(H, H, H)): every field attends to all, without selector and inducing points.

    Args:
        num_heads: M, a divisor of d.

    Call arguments:
        h: [B, F, d].

    Returns:
        Y, [B, F, d].
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, h_shape: Any) -> None:
        """Makes attention and norm."""
        e = head_size(h_shape[-1], self.num_heads)
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads, e, use_bias=False, flash_attention=False, dtype=self.dtype_policy
        )
        self.attention.build(h_shape, h_shape)
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.norm.build(h_shape)
        self.built = True

    def call(self, h: Any) -> Any:
        """[B, F, d] -> [B, F, d]."""
        return self.norm(h + self.attention(h, h))

    def compute_output_shape(self, h_shape: Any) -> Any:
        """The input's."""
        return h_shape
