"""The Task-Specific Adapter."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.attention import head_size
from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class TaskSpecificAdapter(Configured):
    """One TSA layer for all N tasks (eq. 21-22): T_i = LayerNorm(T_i + Attention(alpha_i, Y, Y)).

    Each task has its own indicator alpha_i, projections and norm. They are stacked into one weight
    each, so that all tasks run at once, and none reads another. As in `InducingPointAttention` the
    keys fold into the queries; the values, of which each task mixes one set per head, fold into the
    output projection.

    Args:
        num_tasks: Number of tasks, N.
        num_heads: Number of attention heads, M, a divisor of d.
        epsilon: Number added to the norm's variance; 0.001 by default.

    Call arguments:
        y: The block's shared representation Y, [B, K, d].
        t: The tasks' representations T of the layer before, [B, N, d]; None in the first layer.

    Returns:
        T, [B, N, d].

    Raises:
        ValueError: If `num_heads` does not divide d.

    Example:
        >>> import numpy as np
        >>> adapter = TaskSpecificAdapter(num_tasks=2, num_heads=2)
        >>> tuple(adapter(np.ones((3, 5, 4))).shape)
        (3, 2, 4)
    """

    def __init__(
        self,
        num_tasks: int,
        num_heads: int,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = num_tasks
        self.num_heads = num_heads
        self.epsilon = epsilon

    def build(self, y_shape: Shape, t_shape: Shape | None = None) -> None:
        """Makes alpha [N, d], W^K, W^V, W^O [N, d, d] and the norms' scale and shift [N, d]."""
        n = self.num_tasks
        d = y_shape[-1]
        head_size(d, self.num_heads)
        self.indicators = self.add_weight(
            name="indicators", shape=(n, d), initializer="glorot_uniform"
        )
        self.key = self._projection("key", d)
        self.value = self._projection("value", d)
        self.output_projection = self._projection("output", d)
        self.scale = self.add_weight(
            name="scale",
            shape=(n, d),
            initializer="ones",
        )
        self.shift = self.add_weight(
            name="shift",
            shape=(n, d),
            initializer="zeros",
        )
        self.built = True

    def _projection(self, name: str, d: int) -> keras.Variable:
        """Makes a weight [N, d, d] whose matrices each start as Glorot's uniform of [d, d]."""
        limit = math.sqrt(3.0 / d)
        initializer = keras.initializers.RandomUniform(-limit, limit)
        shape = (self.num_tasks, d, d)
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def call(self, y: Tensor, t: Tensor = None) -> Tensor:
        """Computes T: [B, K, d] (and [B, N, d]) -> [B, N, d]."""
        n = self.num_tasks
        heads = self.num_heads
        _, points, d = y.shape
        rows = ops.reshape(y, (-1, d))  # [B K, d]
        queries = self.queries(d)  # [d, N M]
        scores = ops.matmul(rows, queries)  # [B K, N M]
        scores = ops.reshape(scores, (-1, points, n * heads))  # [B, K, N M]
        attention = ops.softmax(scores, axis=1)  # over the K rows of Y
        attention = ops.transpose(attention, (0, 2, 1))  # [B, N M, K]
        context = ops.matmul(attention, y)  # [B, N M, d]
        context = ops.reshape(context, (-1, n, heads * d))  # [B, N, M d]
        projection = self.values_and_output(d)  # [N, M d, d]
        attended = ops.einsum("bnx,nxc->bnc", context, projection)  # [B, N, d]
        if t is None:  # the first layer
            return self._norm(attended)
        return self._norm(t + attended)

    def queries(self, d: int) -> Tensor:
        """Returns alpha W^K^T / sqrt(e) of all tasks and heads, [d, N M]."""
        n = self.num_tasks
        heads = self.num_heads
        e = head_size(d, heads)
        queries = ops.reshape(self.indicators, (n, heads, e))  # alpha
        keys = ops.reshape(self.key, (n, d, heads, e))  # W^K
        folded = ops.einsum("ndme,nme->dnm", keys, queries)
        folded = folded / math.sqrt(e)
        return ops.reshape(folded, (d, n * heads))

    def values_and_output(self, d: int) -> Tensor:
        """Returns W^V W^O of all tasks and heads, [N, M d, d]."""
        n = self.num_tasks
        heads = self.num_heads
        e = head_size(d, heads)
        values = ops.reshape(self.value, (n, d, heads, e))  # W^V
        outputs = ops.reshape(self.output_projection, (n, heads, e, d))  # W^O
        both = ops.einsum("ndme,nmec->nmdc", values, outputs)  # [N, M, d, d]
        return ops.reshape(both, (n, heads * d, d))

    def _norm(self, x: Tensor) -> Tensor:
        """Normalizes each task's representation, in float32 at least."""
        wide = x
        if self.compute_dtype in ("float16", "bfloat16"):
            wide = ops.cast(x, "float32")
        mean = ops.mean(wide, axis=-1, keepdims=True)
        centred = wide - mean
        squares = ops.square(centred)
        variance = ops.mean(squares, axis=-1, keepdims=True)
        normal = centred * ops.rsqrt(variance + self.epsilon)
        normal = ops.cast(normal, x.dtype)
        return normal * self.scale + self.shift

    def compute_output_shape(self, y_shape: Shape, t_shape: Shape | None = None) -> Shape:
        """Returns [B, N, d]."""
        batch, _, d = y_shape
        return (batch, self.num_tasks, d)
