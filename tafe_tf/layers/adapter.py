"""Task-Specific Adapter."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.attention import head_size


@keras.saving.register_keras_serializable("tafe_tf")
class TaskSpecificAdapter(keras.layers.Layer):
    """One TSA layer for all N tasks (eq. 21-22): T_i = LayerNorm(T_i + Attention(alpha_i, Y, Y)).

    Each task has its own indicator alpha_i, projections and norm; they are stacked into one weight each, so that
    all tasks run at once and none reads another. As in `InducingPointAttention` the keys fold into the queries; and
    the values, of which each task mixes one set a head, into the output projection.

    Args:
        num_tasks: N.
        num_heads: M, a divisor of d.
        epsilon: added to the norm's variance.

    Call arguments:
        y: the block's shared representation, [B, K, d].
        t: the tasks' representations from the layer before, [B, N, d]; None in the first.

    Returns:
        T, [B, N, d].
    """

    def __init__(
        self, num_tasks: int, num_heads: int, epsilon: float = 1e-3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks, self.num_heads, self.epsilon = num_tasks, num_heads, epsilon

    def build(self, y_shape: Any, t_shape: Any = None) -> None:
        """Makes alpha [N, d], W^K, W^V, W^O [N, d, d] and the norms' scale and shift [N, d]."""
        n, d = self.num_tasks, y_shape[-1]
        head_size(d, self.num_heads)

        def projection(name: str) -> Any:
            limit = math.sqrt(3.0 / d)  # Glorot's, of each task's [d, d] matrix
            initializer = keras.initializers.RandomUniform(-limit, limit)
            return self.add_weight(name=name, shape=(n, d, d), initializer=initializer)

        self.indicators = self.add_weight(
            name="indicators", shape=(n, d), initializer="glorot_uniform"
        )
        self.key, self.value, self.output_projection = (
            projection("key"),
            projection("value"),
            projection("output"),
        )
        self.scale = self.add_weight(name="scale", shape=(n, d), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(n, d), initializer="zeros")
        self.built = True

    def call(self, y: Any, t: Any = None) -> Any:
        """[B, K, d] (and [B, N, d]) -> [B, N, d]."""
        d = y.shape[-1]
        n, heads, e = self.num_tasks, self.num_heads, head_size(d, self.num_heads)
        queries = ops.reshape(self.indicators, (n, heads, e))
        keys = ops.reshape(self.key, (n, d, heads, e))
        folded = ops.einsum("ndme,nme->dnm", keys, queries) / math.sqrt(e)
        scores = ops.matmul(ops.reshape(y, (-1, d)), ops.reshape(folded, (d, n * heads)))
        scores = ops.reshape(scores, (-1, y.shape[-2], n * heads))  # [B, K, N M]
        attention = ops.softmax(scores, axis=1)  # over the K rows of Y
        context = ops.matmul(ops.transpose(attention, (0, 2, 1)), y)
        values = ops.reshape(self.value, (n, d, heads, e))
        outputs = ops.reshape(self.output_projection, (n, heads, e, d))
        both = ops.reshape(ops.einsum("ndme,nmec->nmdc", values, outputs), (n, heads * d, d))
        f = ops.einsum("bnx,nxc->bnc", ops.reshape(context, (-1, n, heads * d)), both)
        return self._norm(f if t is None else t + f)

    def _norm(self, x: Any) -> Any:
        wide = ops.cast(x, "float32") if self.compute_dtype in ("float16", "bfloat16") else x
        centred = wide - ops.mean(wide, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return (
            ops.cast(centred * ops.rsqrt(variance + self.epsilon), x.dtype) * self.scale
            + self.shift
        )

    def compute_output_shape(
        self, y_shape: Any, t_shape: Any = None
    ) -> tuple[int | None, int, int]:
        """[B, N, d]."""
        return (y_shape[0], self.num_tasks, y_shape[-1])
