"""The alignment of tasks with fields, by which each task reads the fields in its own weights."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.attention import head_size, transpose
from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class TaskFieldAlignment(Configured):
    """X_n = LayerNorm(X + A_n * X): each task weighs the fields by an attention of its own.

    This is the task-feature dependence of MRAN (Zhao et al. 2019, section 3.4). Head j of task n
    has the weights A_nj = softmax((t_n W^Q_j) (X W^K_j)^T / sqrt(e)) over the F fields, which
    multiply the j-th e of the d numbers of each field. The weighted fields are not summed up. The
    norm goes over all F d numbers of a task: a norm of each field would take its weight back.

    Args:
        num_heads: Number of heads, M, a divisor of d.

    Call arguments:
        tasks: The tasks' representations t, [1, N, d], the same for all rows.
        h: The fields' representations X, [B, F, d].

    Returns:
        The fields as each task reads them, [B, N, F, d].

    Raises:
        ValueError: If `num_heads` does not divide d.

    Example:
        >>> import numpy as np
        >>> alignment = TaskFieldAlignment(num_heads=2)
        >>> tuple(alignment(np.ones((1, 2, 4)), np.ones((3, 5, 4))).shape)
        (3, 2, 5, 4)
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, tasks_shape: Shape, h_shape: Shape) -> None:
        """Makes W^Q and W^K, [d, d], and the norm."""
        _, fields, d = h_shape
        head_size(d, self.num_heads)
        self.query = self.add_weight(name="query", shape=(d, d))
        self.key = self.add_weight(name="key", shape=(d, d))
        self.norm = keras.layers.LayerNormalization(axis=(-2, -1), dtype=self.dtype_policy)
        self.norm.build((None, tasks_shape[1], fields, d))
        self.built = True

    def call(self, tasks: Tensor, h: Tensor) -> Tensor:
        """Computes X_n: [1, N, d], [B, F, d] -> [B, N, F, d]."""
        weights = self.weights_of(tasks, h)  # [B, N, F, d]
        of_all = ops.expand_dims(h, 1)  # [B, 1, F, d]
        weighted = weights * of_all
        return self.norm(of_all + weighted)

    def weights_of(self, tasks: Tensor, h: Tensor) -> Tensor:
        """Returns A, each head's weights once for each of its e numbers, [B, N, F, d]."""
        _, n, d = tasks.shape
        fields = h.shape[1]
        heads = self.num_heads
        e = head_size(d, heads)
        queries = ops.matmul(tasks, self.query)  # [1, N, d]
        queries = ops.reshape(queries, (-1, n, heads, e))
        queries = ops.transpose(queries, (0, 2, 1, 3))  # [1, M, N, e]
        keys = ops.matmul(h, self.key)  # [B, F, d]
        keys = ops.reshape(keys, (-1, fields, heads, e))
        keys = ops.transpose(keys, (0, 2, 1, 3))  # [B, M, F, e]
        scores = ops.matmul(queries, transpose(keys))  # [B, M, N, F]
        weights = ops.softmax(scores / math.sqrt(e), axis=-1)
        weights = ops.transpose(weights, (0, 2, 3, 1))  # [B, N, F, M]
        return ops.repeat(weights, e, axis=-1)

    def compute_output_shape(self, tasks_shape: Shape, h_shape: Shape) -> Shape:
        """Returns [B, N, F, d]."""
        batch, fields, d = h_shape
        return (batch, tasks_shape[1], fields, d)
