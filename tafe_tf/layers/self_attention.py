"""Self-attention over the fields, which replaces ASRG in the paper's first ablation."""

from __future__ import annotations

from typing import Any

import keras

from tafe_tf.layers.attention import head_size
from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class FieldSelfAttention(Configured):
    """Y = LayerNorm(H + MultiHead(H, H, H)): every field attends to all, without a selector.

    This is what TAFE's ablation "w/o ASRG" (section 4.3) uses instead of `ASRG`.

    Args:
        num_heads: Number of attention heads, M, a divisor of d.

    Call arguments:
        h: H, [B, F, d].

    Returns:
        Y, [B, F, d].

    Raises:
        ValueError: If `num_heads` does not divide d.

    Example:
        >>> import numpy as np
        >>> tuple(FieldSelfAttention(num_heads=2)(np.ones((3, 5, 4))).shape)
        (3, 5, 4)
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, h_shape: Shape) -> None:
        """Makes the attention and the norm."""
        d = h_shape[-1]
        e = head_size(d, self.num_heads)
        self.attention = keras.layers.MultiHeadAttention(
            self.num_heads,
            e,
            use_bias=False,
            flash_attention=False,
            dtype=self.dtype_policy,
        )
        self.attention.build(h_shape, h_shape)
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.norm.build(h_shape)
        self.built = True

    def call(self, h: Tensor) -> Tensor:
        """Computes Y: [B, F, d] -> [B, F, d]."""
        attended = self.attention(h, h)
        return self.norm(h + attended)

    def compute_output_shape(self, h_shape: Shape) -> Shape:
        """Returns the input's shape."""
        return h_shape
