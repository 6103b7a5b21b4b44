"""The Adaptive Sample-wise Representation Generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.layers.attention import InducingPointAttention
from tafe_tf.layers.configured import Configured
from tafe_tf.layers.selector import SmoothStepSelector
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ASRG(Configured):
    """One ASRG block (section 3.1, eq. 14-20): Y = LayerNorm(residual + O).

    z comes from the selector (eq. 14-16) and O from attention whose queries are the inducing points
    scaled by z (eq. 17-19).

    Args:
        num_inducing: Number of inducing points, K.
        num_heads: Number of attention heads, M, a divisor of d.
        selector_hidden: Sizes of the hidden layers of the selector's MLP; none by default.
        residual: What eq. 20 adds to O, "input" by default: H, which then must have K rows. With
            "query" it adds the scaled inducing points I * z instead. A stack of blocks uses "query"
            in the first one, where F and K differ, and "input" after it.

    Call arguments:
        h: H, [B, F, d].
        gamma: Present width of the smooth step, a float32 scalar.
        training: Whether the attention computes its gradients in closed form. It is passed on
            explicitly, because Keras does not do so within JAX's `stateless_call`.

    Returns:
        Y, [B, K, d].

    Raises:
        ValueError: If `residual` is neither of the two, or "input" meets an H of other than K rows.

    Example:
        >>> import numpy as np
        >>> block = ASRG(num_inducing=3, num_heads=2, residual="query")
        >>> tuple(block(np.ones((2, 5, 4)), gamma=1.0).shape)
        (2, 3, 4)
    """

    def __init__(
        self,
        num_inducing: int,
        num_heads: int,
        selector_hidden: Sequence[int] = (),
        residual: Literal["input", "query"] = "input",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if residual not in ("input", "query"):
            raise ValueError(
                f"`residual` must be 'input' or 'query'. Received: residual={residual!r}"
            )
        policy = self.dtype_policy
        self.num_inducing = num_inducing
        self.residual = residual
        self.selector = SmoothStepSelector(num_inducing, selector_hidden, dtype=policy)
        self.attention = InducingPointAttention(num_inducing, num_heads, dtype=policy)
        self.norm = keras.layers.LayerNormalization(dtype=policy)

    def build(self, h_shape: Shape, gamma_shape: Shape | None = None) -> None:
        """Makes the weights of the three parts."""
        *_, fields, dim = h_shape
        if self.residual == "input" and fields != self.num_inducing:
            raise ValueError(
                f"residual='input' needs {self.num_inducing} input rows. Received: shape {h_shape}"
            )
        self.selector.build(h_shape)
        self.attention.build(h_shape)
        self.norm.build((None, self.num_inducing, dim))
        self.built = True

    def call(
        self,
        h: Tensor,
        gamma: Tensor,
        training: bool = False,
    ) -> Tensor:
        """Computes Y: [B, F, d] -> [B, K, d]."""
        z = self.selector(h, gamma=gamma)  # [B, K]
        o = self.attention(h, z, training=training)  # [B, K, d]
        residual = h
        if self.residual == "query":
            residual = self.attention.inducing_points * z[:, :, None]  # I * z, [B, K, d]
        residual = ops.cast(residual, o.dtype)
        return self.norm(o + residual)

    def compute_output_shape(self, h_shape: Shape, gamma_shape: Shape | None = None) -> Shape:
        """Returns [B, K, d]."""
        batch, _, d = h_shape
        return (batch, self.num_inducing, d)
