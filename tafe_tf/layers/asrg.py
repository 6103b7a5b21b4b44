"""Adaptive Sample-wise Representation Generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.attention import InducingPointAttention
from tafe_tf.layers.selector import SmoothStepSelector


@keras.saving.register_keras_serializable("tafe_tf")
class ASRG(keras.layers.Layer):
    """One ASRG block (section 3.1): selector, inducing-point attention, residual and layer norm (eq. 14-20).

    Args:
        num_inducing: K.
        num_heads: M.
        selector_hidden: hidden sizes of the selector's MLP.
        residual: what eq. 20 adds to O: "input" (H, which then must have K rows) or "query" (I * z). A stack uses
            "query" in its first block, where F and K differ, and "input" after it.

    Call arguments:
        h: [B, F, d].
        gamma: the present width of the smooth step, a float32 scalar.
        training: the attention's; said, since within JAX's `stateless_call` Keras does not pass it on by itself.

    Returns:
        Y, [B, K, d].
    """

    def __init__(
        self,
        num_inducing: int,
        num_heads: int,
        selector_hidden: Sequence[int] = (),
        residual: str = "input",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if residual not in ("input", "query"):
            raise ValueError(
                f"`residual` must be 'input' or 'query'. Received: residual={residual!r}"
            )
        self.num_inducing, self.num_heads = num_inducing, num_heads
        self.selector_hidden, self.residual = list(selector_hidden), residual
        policy = self.dtype_policy
        self.selector = SmoothStepSelector(num_inducing, selector_hidden, dtype=policy)
        self.attention = InducingPointAttention(num_inducing, num_heads, dtype=policy)
        self.norm = keras.layers.LayerNormalization(dtype=policy)

    def build(self, input_shape: Any) -> None:
        """Makes the three parts."""
        if self.residual == "input" and input_shape[-2] != self.num_inducing:
            raise ValueError(
                f"residual='input' needs {self.num_inducing} input rows. Received: shape {input_shape}"
            )
        self.selector.build(input_shape)
        self.attention.build(input_shape)
        self.norm.build((None, self.num_inducing, input_shape[-1]))
        self.built = True

    def call(self, h: Any, gamma: Any, training: bool = False) -> Any:
        """[B, F, d] -> [B, K, d]."""
        z = self.selector(h, gamma)
        o = self.attention(h, z, training=training)
        if self.residual == "query":
            h = self.attention.inducing_points * z[:, :, None]
        return self.norm(o + ops.cast(h, o.dtype))

    def compute_output_shape(
        self, h_shape: Any, gamma_shape: Any = None
    ) -> tuple[int | None, int, int]:
        """[B, K, d]."""
        return (h_shape[0], self.num_inducing, h_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {
            "num_inducing": self.num_inducing,
            "num_heads": self.num_heads,
            "selector_hidden": self.selector_hidden,
            "residual": self.residual,
        }
        return {**super().get_config(), **config}
