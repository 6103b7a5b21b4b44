"""TAFE's blocks and adapters in the form in which an export computes them.

The results are those of the layers. What differs is the number of operations, and their sizes: an
export needs no gradients, and its weights are constants, so that any product of two weights costs
nothing. All operations are TensorFlow's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from keras import ops

from tafe_tf.layers import ASRG, TaskSpecificAdapter
from tafe_tf.models import TAFE, FunnelModel


class ServingForm:
    """Computes T from H as `TAFE.represent` does without training.

    A request is computed in two halves, which run side by side where an operation has one thread.
    A request of one row has no second half.

    Args:
        model: A model that `applies_to`.
    """

    def __init__(self, model: TAFE) -> None:
        self._blocks = [Block(block) for block in model.blocks]
        self._adapters = [Adapter(adapter) for adapter in model.adapters]
        self._in_halves = model.pieces > 1

    def __call__(self, h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        """Computes T: [B, F, d] -> [B, N, d]; it never trains."""
        if not self._in_halves:
            return self._represent(h, gamma)
        count = tf.shape(h)[0]
        middle = (count + 1) // 2
        first = self._represent(h[:middle], gamma)  # [B / 2, N, d]
        # Inside the branch only what depends on the rows is computed: constants that enter a branch
        # are no longer folded.
        second = tf.cond(
            count > 1,
            lambda: self._represent(h[middle:], gamma),
            lambda: first[:0],
        )
        return tf.concat([first, second], axis=0)

    def _represent(self, h: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
        """Computes T of some rows."""
        y = h
        t = None
        for block, adapter in zip(self._blocks, self._adapters, strict=True):
            y = block(y, gamma)  # [b, K, d]
            t = adapter(y, t)  # [b, N d]
        last = self._adapters[-1]
        return tf.reshape(t, [-1, last.num_tasks, last.dim])


@contextlib.contextmanager
def used(model: FunnelModel) -> Iterator[None]:
    """Lets a model compute in this form where it applies, and otherwise by its layers.

    The native kernel never computes within it, whatever `native` is.

    Args:
        model: The model. Its weights are read at once.
    """
    form = ServingForm(model) if applies_to(model) else None
    with model.with_native(form):
        yield


def applies_to(model: FunnelModel) -> bool:
    """Whether a model is a TAFE in float32 with all its parts; others are served by their layers.

    In half precision the order of the products would show in the results.
    """
    if not isinstance(model, TAFE) or model.compute_dtype != "float32":
        return False
    given = model.arguments
    return bool(given["use_asrg"] and given["use_tsa"])


class Block:
    """An ASRG block: Y = LayerNorm(residual + O), [B, F, d] -> [B, K, d].

    Each head mixes H itself, and W^V W^O follows as one product. The queries lie in the order
    (k, m): what a query's heads mix lies side by side, and nothing is transposed.

    Args:
        block: The layer.
    """

    def __init__(self, block: ASRG) -> None:
        attention = block.attention
        self._selector = block.selector
        self._heads = attention.num_heads
        self._points = block.num_inducing
        queries = attention.folded_queries()  # [M, K, d]
        queries = tf.transpose(queries, [1, 0, 2])  # [K, M, d]
        self._dim = queries.shape[-1]
        self._queries = tf.reshape(queries, [-1])  # [K M d]
        self._projection = attention.values_and_output()  # [M d, d]
        self._inducing = None
        if block.residual == "query":
            inducing = ops.convert_to_tensor(attention.inducing_points)
            self._inducing = tf.reshape(inducing, [-1])  # [K d]
        self._scale = ops.convert_to_tensor(block.norm.gamma)
        self._shift = ops.convert_to_tensor(block.norm.beta)
        self._epsilon = block.norm.epsilon

    def __call__(self, h: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
        """Computes Y."""
        d = self._dim
        z = self._selector(h, gamma=gamma)  # [B, K]
        queries = _repeated(z, self._heads * d) * self._queries
        queries = tf.reshape(queries, [-1, self._points * self._heads, d])
        scores = tf.matmul(queries, h, transpose_b=True)  # [B, K M, F]
        attention = tf.nn.softmax(scores)
        mixed = tf.matmul(attention, h)  # [B, K M, d]
        mixed = tf.reshape(mixed, [-1, self._heads * d])  # [B K, M d]
        o = tf.matmul(mixed, self._projection)  # [B K, d]
        o = tf.reshape(o, [-1, self._points, d])
        residual = h
        if self._inducing is not None:
            residual = _repeated(z, d) * self._inducing  # I * z, [B, K d]
            residual = tf.reshape(residual, [-1, self._points, d])
        return layer_norm(o + residual, self._scale, self._shift, self._epsilon)


class Adapter:
    """A Task-Specific Adapter, with T as [B, N d].

    All tasks are one product of two matrices, block-diagonal where no task may read another. So are
    the sums of the norm: a product with 1 / d in each block is the mean of each task's numbers.

    Args:
        adapter: The layer.
    """

    def __init__(self, adapter: TaskSpecificAdapter) -> None:
        n = adapter.num_tasks
        d = adapter.indicators.shape[-1]
        self.num_tasks = n
        self.dim = d
        of_tasks = np.eye(n, dtype=np.float32)
        queries = adapter.queries(d)  # [d, N M]
        self._queries = tf.transpose(queries)[None]  # [1, N M, d]
        projection = adapter.values_and_output(d)  # [N, M d, d]
        diagonal = tf.einsum("nxd,no->nxod", projection, of_tasks)  # [N, M d, N, d]
        self._projection = tf.reshape(diagonal, [-1, n * d])  # [N M d, N d]
        mean = np.full((d, d), 1.0 / d, np.float32)
        self._mean = tf.constant(np.kron(of_tasks, mean))  # [N d, N d]
        self._scale = tf.reshape(ops.convert_to_tensor(adapter.scale), [-1])  # [N d]
        self._shift = tf.reshape(ops.convert_to_tensor(adapter.shift), [-1])
        self._epsilon = adapter.epsilon

    def __call__(self, y: tf.Tensor, t: tf.Tensor | None) -> tf.Tensor:
        """Computes T from Y and the T before: [B, K, d], [B, N d] -> [B, N d]."""
        scores = tf.matmul(self._queries, y, transpose_b=True)  # [B, N M, K]
        attention = tf.nn.softmax(scores)
        context = tf.matmul(attention, y)  # [B, N M, d]
        size = self._projection.shape[0]
        context = tf.reshape(context, [-1, size])  # [B, N M d]
        attended = tf.matmul(context, self._projection)  # [B, N d]
        x = attended if t is None else t + attended
        centred = x - tf.matmul(x, self._mean)
        variance = tf.matmul(tf.square(centred), self._mean)
        normal = centred * tf.math.rsqrt(variance + self._epsilon)
        return normal * self._scale + self._shift


def layer_norm(
    x: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    epsilon: float,
) -> tf.Tensor:
    """Normalizes the last dimension.

    Not in the form that TensorFlow fuses into one oneDNN operation, a batch norm whose channels are
    the rows: in TensorFlow 2.19.0 that operation writes beyond its memory, and a server aborts.

    Args:
        x: [B, K, d].
        scale: What the normal numbers are multiplied by, [d].
        shift: What is added to them, [d].
        epsilon: Number added to the variance.

    Returns:
        [B, K, d].
    """
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    normal = centred * tf.math.rsqrt(variance + epsilon)
    return normal * scale + shift


def _repeated(z: tf.Tensor, times: int) -> tf.Tensor:
    """Repeats each number of a row: [B, K] -> [B, K times]. A product with it is a plain one."""
    return tf.repeat(z, times, axis=1)
