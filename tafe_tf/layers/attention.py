"""Multi-head attention whose queries are inducing points, each scaled by the selector."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


def head_size(dim: int, num_heads: int) -> int:
    """Returns e = d / M; raises ValueError if the heads do not divide the dimension."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(
            f"`num_heads` must divide the dimension {dim}. Received: num_heads={num_heads}"
        )
    return dim // num_heads


def transpose(x: Tensor) -> Tensor:
    """Swaps the last two dimensions."""
    return ops.swapaxes(x, -1, -2)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Computes softmax(Q H^T) V for all heads at once.

    Args:
        queries: Q, the heads one after the other, [B, M K, d].
        keys: H, [B, F, d].
        values: V, [B, M, F, e].

    Returns:
        The mixed values, [B, M, K, e].
    """
    mixed, _ = _attend(queries, keys, values)
    return mixed


def _attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns what `attend` does, and the attention itself, [B, M, K, F]."""
    _, heads, fields, _ = values.shape
    points = queries.shape[1] // heads
    scores = ops.matmul(queries, transpose(keys))  # [B, M K, F]
    attention = ops.softmax(scores, axis=-1)
    attention = ops.reshape(attention, (-1, heads, points, fields))  # [B, M, K, F]
    mixed = ops.matmul(attention, values)  # [B, M, K, e]
    return mixed, attention


@ops.custom_gradient
def attend_and_learn(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Computes what `attend` does, with gradients in closed form.

    With G the gradient of O = P V and P = softmax(S), dS = P * (G V^T - rowsum(G * O)). The row
    sums need O alone, not the [M K, F] matrices, and come in as one more column of G against a
    column of ones of V. Automatic differentiation makes four passes over these largest tensors;
    this makes one. A product that would read one of them transposed is computed as its own
    transpose, so that the small operand is the one transposed: half the time on a CPU.
    """
    mixed, attention = _attend(queries, keys, values)

    def gradients(*arguments: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
        # TensorFlow passes the gradient as `upstream`, JAX as the first argument.
        g = arguments[0] if upstream is None else upstream  # [B, M, K, e]
        row_sums = ops.sum(g * mixed, axis=-1, keepdims=True)  # [B, M, K, 1]
        ones = ops.ones_like(values[..., :1])  # [B, M, F, 1]
        left = ops.concatenate([g, -row_sums], axis=-1)
        right = ops.concatenate([values, ones], axis=-1)
        difference = ops.matmul(left, transpose(right))  # G V^T - rowsum(G * O), [B, M, K, F]
        d_scores = attention * difference
        _, rows, _ = queries.shape  # M K
        _, fields, _ = keys.shape
        d_scores = ops.reshape(d_scores, (-1, rows, fields))  # [B, M K, F]
        d_queries = ops.matmul(d_scores, keys)  # [B, M K, d]
        d_keys = ops.matmul(transpose(queries), d_scores)  # [B, d, F]
        d_keys = transpose(d_keys)
        d_values = ops.matmul(transpose(g), attention)  # [B, M, e, F]
        d_values = transpose(d_values)
        return d_queries, d_keys, d_values

    return mixed, gradients


@keras.saving.register_keras_serializable("tafe_tf")
class InducingPointAttention(Configured):
    """Multi-head attention of inducing points scaled by the selector (eq. 17-19), without biases.

    O = concat_j(softmax((I_j * z) (H W^K_j)^T / sqrt(e)) H W^V_j) W^O, over the heads j.

    The queries are parameters, so the keys fold into them: (I_j * z) (H W^K_j)^T equals
    z * (I_j W^K_j^T) H^T, where I_j W^K_j^T is [K, d] and the same for every row of the batch. No
    key is ever computed. An inducing point with z = 0 attends evenly to all fields.

    Args:
        num_inducing: Number of inducing points, K.
        num_heads: Number of heads, M, a divisor of d.

    Call arguments:
        h: H, [B, F, d].
        z: The selector's output, [B, K].
        training: Whether to compute the gradients by `attend_and_learn`.

    Returns:
        O, [B, K, d].

    Raises:
        ValueError: If `num_heads` does not divide d.

    Example:
        >>> import numpy as np
        >>> attention = InducingPointAttention(num_inducing=3, num_heads=2)
        >>> tuple(attention(np.ones((2, 5, 4)), np.ones((2, 3))).shape)
        (2, 3, 4)
    """

    def __init__(
        self,
        num_inducing: int,
        num_heads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_inducing = num_inducing
        self.num_heads = num_heads

    def build(self, h_shape: Shape, z_shape: Shape | None = None) -> None:
        """Makes I [K, d] and W^K, W^V, W^O [d, d]."""
        d = h_shape[-1]
        head_size(d, self.num_heads)
        self.inducing_points = self.add_weight(
            name="inducing_points",
            shape=(self.num_inducing, d),
        )
        square = (d, d)
        self.key = self.add_weight(name="key", shape=square)
        self.value = self.add_weight(name="value", shape=square)
        self.output_projection = self.add_weight(name="output", shape=square)
        self.built = True

    def call(
        self,
        h: Tensor,
        z: Tensor,
        training: bool = False,
    ) -> Tensor:
        """Computes O: [B, F, d], [B, K] -> [B, K, d]."""
        d = h.shape[-1]
        queries = self._queries(z, d)  # [B, M K, d]
        values = self._values(h)  # [B, M, F, e]
        function = attend_and_learn if training else attend
        mixed = function(queries, h, values)  # [B, M, K, e]
        mixed = ops.transpose(mixed, (0, 2, 1, 3))  # [B, K, M, e]
        mixed = ops.reshape(mixed, (-1, d))  # the heads side by side, [B K, d]
        o = ops.matmul(mixed, self.output_projection)
        return ops.reshape(o, (-1, self.num_inducing, d))

    def folded_queries(self) -> Tensor:
        """Returns I_j W^K_j^T / sqrt(e) of all heads j, [M, K, d]."""
        d = self.key.shape[0]
        heads = self.num_heads
        e = head_size(d, heads)
        inducing = ops.reshape(self.inducing_points, (self.num_inducing, heads, e))  # I
        keys = ops.reshape(self.key, (d, heads, e))  # W^K
        folded = ops.einsum("kme,dme->mkd", inducing, keys)
        return folded / math.sqrt(e)

    def values_and_output(self) -> Tensor:
        """Returns W^V_j W^O_j of all heads j, one below the other, [M d, d]."""
        d = self.key.shape[0]
        heads = self.num_heads
        e = head_size(d, heads)
        values = ops.reshape(self.value, (d, heads, e))  # W^V
        outputs = ops.reshape(self.output_projection, (heads, e, d))  # W^O
        both = ops.einsum("dme,mec->mdc", values, outputs)  # [M, d, d]
        return ops.reshape(both, (heads * d, d))

    def _queries(self, z: Tensor, d: int) -> Tensor:
        """Returns z * (I_j W^K_j^T) / sqrt(e) of all heads j, [B, M K, d]."""
        folded = self.folded_queries()
        # z scales this small operand [B, M, K, d], not the scores [B, M, K, F].
        z = ops.cast(z, folded.dtype)
        z = z[:, None, :]
        z = ops.expand_dims(z, -1)  # [B, 1, K, 1]
        scaled = folded * z
        return ops.reshape(scaled, (-1, self.num_heads * self.num_inducing, d))

    def _values(self, h: Tensor) -> Tensor:
        """Returns H W^V_j of all heads j, [B, M, F, e]."""
        _, fields, d = h.shape
        e = head_size(d, self.num_heads)
        # A product of two matrices is one operation; of a batch of matrices it would be ten.
        rows = ops.reshape(h, (-1, d))  # [B F, d]
        values = ops.matmul(rows, self.value)
        values = ops.reshape(values, (-1, fields, self.num_heads, e))  # [B, F, M, e]
        return ops.transpose(values, (0, 2, 1, 3))

    def compute_output_shape(self, h_shape: Shape, z_shape: Shape | None = None) -> Shape:
        """Returns [B, K, d]."""
        batch, _, d = h_shape
        return (batch, self.num_inducing, d)
