"""Multi-head attention whose queries are inducing points, scaled row by row by the selector."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def head_size(dim: int, num_heads: int) -> int:
    """e = d / M; raises ValueError if the heads do not divide the dimension."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(
            f"`num_heads` must divide the dimension {dim}. Received: num_heads={num_heads}"
        )
    return dim // num_heads


def _turned(x: Any) -> Any:
    """Its last two dimensions swapped."""
    return ops.swapaxes(x, -1, -2)


def attend(queries: Any, keys: Any, values: Any) -> Any:
    """softmax(Q H^T) V for all heads: Q [B, M K, d], head by head, H [B, F, d], V [B, M, F, e] -> [B, M, K, e]."""
    return _attend(queries, keys, values)[0]


def _attend(queries: Any, keys: Any, values: Any) -> tuple[Any, Any]:
    """What `attend` gives, and the attention, [B, M, K, F]."""
    heads, fields = values.shape[1:3]
    attention = ops.softmax(ops.matmul(queries, _turned(keys)), axis=-1)  # [B, M K, F]
    attention = ops.reshape(attention, (-1, heads, queries.shape[1] // heads, fields))
    return ops.matmul(attention, values), attention


@ops.custom_gradient
def attend_and_learn(queries: Any, keys: Any, values: Any) -> Any:
    """`attend` with its gradients in closed form.

    With G the upstream gradient of O = P V and P = softmax(S), dS = P * (G V^T - rowsum(G * O)): the row sums need O
    alone, not the [M K, F] matrices, and come in as one more column of G against a column of ones of V. Of the passes
    over these largest tensors automatic differentiation makes four; this makes one. A product that would read one of
    them transposed is made as its own transpose, so that the small operand is the one turned: half the time on a CPU.
    """
    mixed, attention = _attend(queries, keys, values)

    def gradients(*arguments: Any, upstream: Any = None) -> tuple[Any, Any, Any]:
        g = arguments[0] if upstream is None else upstream
        rows = -ops.sum(g * mixed, axis=-1, keepdims=True)
        ones = ops.ones_like(values[..., :1])
        right = _turned(ops.concatenate([values, ones], axis=-1))
        d_scores = attention * ops.matmul(ops.concatenate([g, rows], axis=-1), right)
        d_scores = ops.reshape(d_scores, (-1, queries.shape[1], keys.shape[1]))
        return (
            ops.matmul(d_scores, keys),
            _turned(ops.matmul(_turned(queries), d_scores)),
            _turned(ops.matmul(_turned(g), attention)),
        )

    return mixed, gradients


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
        training: True computes gradients by `attend_and_learn`.

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

    def call(self, h: Any, z: Any, training: bool = False) -> Any:
        """[B, F, d], [B, K] -> [B, K, d]."""
        fields, d = h.shape[-2:]
        heads, points, e = self.num_heads, self.num_inducing, head_size(d, self.num_heads)
        queries = ops.reshape(self.inducing_points, (points, heads, e))
        keys = ops.reshape(self.key, (d, heads, e))
        folded = ops.einsum("kme,dme->mkd", queries, keys) / math.sqrt(e)
        # z scales the small operand [B, M, K, d], not the scores [B, M, K, F]
        folded = folded * ops.expand_dims(ops.cast(z, folded.dtype)[:, None, :], -1)
        queries = ops.reshape(folded, (-1, heads * points, d))
        values = ops.matmul(
            ops.reshape(h, (-1, d)), self.value
        )  # of two dimensions: one operation, not ten
        values = ops.transpose(ops.reshape(values, (-1, fields, heads, e)), (0, 2, 1, 3))
        mixed = (attend_and_learn if training else attend)(queries, h, values)  # [B, M, K, e]
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, d))
        return ops.reshape(ops.matmul(mixed, self.output_projection), (-1, points, d))

    def compute_output_shape(
        self, h_shape: Any, z_shape: Any = None
    ) -> tuple[int | None, int, int]:
        """[B, K, d]."""
        return (h_shape[0], self.num_inducing, h_shape[-1])
