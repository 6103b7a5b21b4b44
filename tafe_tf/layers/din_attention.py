"""Target attention over a history, by the activation unit of DIN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class DinAttention(Configured):
    """The sum of a history's entries, each times how much the candidate activates it.

    This is eq. 3 of Zhou et al. (2018): v(q) = sum_l a(k_l, q) k_l. The activation unit a is an MLP
    of [q, k, q - k, q * k] with PReLU. As in the paper there is no softmax over the entries, so
    that the sum says how strong an interest is, and not only which one it is. Dice, the paper's
    other activation, is left out: it normalizes by the batch, on which padding would then have an
    influence.

    The first layer is linear in k, given q: k (W_k - W_diff + q * W_prod) + q (W_q + W_diff) + b.
    So neither q - k nor q * k is made for any pair, but a matrix for each q. The slopes of the last
    hidden layer's PReLU go into the kernel after it: w PReLU(x) = w (1 - s) relu(x) + w s x.

    Args:
        units: Sizes of the hidden layers of the activation unit; by default one of 36, as the paper
            draws it.

    Call arguments:
        query: q, [B, p].
        keys: k, [B, L, e], of which the first p numbers of an entry are compared with q; or
            [1, L, e], one history for all queries.
        mask: 1 where there is an entry and 0 where there is padding, [B, L] or [1, L].

    Returns:
        v, [B, e]; for a history without entries a vector that is learned.

    Raises:
        ValueError: If one of `units` is below 1, there are none, or p is larger than e.

    Example:
        >>> import numpy as np
        >>> attention = DinAttention([8])
        >>> tuple(attention(np.ones((3, 2)), np.ones((3, 5, 4)), np.ones((3, 5))).shape)
        (3, 4)
    """

    def __init__(self, units: Sequence[int] = (36,), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not units or min(units) < 1:
            raise ValueError(f"all of `units` must be 1 or more. Received: units={list(units)}")
        self.units = [int(size) for size in units]

    def build(self, query_shape: Shape, keys_shape: Shape, mask_shape: Shape | None = None) -> None:
        """Makes the MLP, whose last layer gives one number, and the vector of no history, [e]."""
        p = query_shape[-1]
        e = keys_shape[-1]
        if p > e:
            raise ValueError(f"a query must be no wider than an entry. Received: {p} and {e}")
        first, *others = self.units
        names = {"query": p, "key": e, "difference": p, "product": p}
        self.first = {}
        for name, size in names.items():
            self.first[name] = self.add_weight(name=name, shape=(size, first))
        self.kernels = []
        width = first
        for i, size in enumerate([*others, 1], 1):
            kernel = self.add_weight(name=f"kernel_{i}", shape=(width, size))
            self.kernels.append(kernel)
            width = size
        self.biases = []
        self.slopes = []
        for i, size in enumerate(self.units):
            bias = self.add_weight(name=f"bias_{i}", shape=(size,), initializer="zeros")
            slope = self.add_weight(
                name=f"slope_{i}",
                shape=(size,),
                initializer=keras.initializers.Constant(0.25),
            )
            self.biases.append(bias)
            self.slopes.append(slope)
        self.last_bias = self.add_weight(name="last_bias", shape=(1,), initializer="zeros")
        self.none = self.add_weight(name="none", shape=(e,), initializer="zeros")
        self.built = True

    def call(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Computes v: [B, p], [B, L, e], [B, L] -> [B, e]."""
        mask = ops.cast(mask, keys.dtype)
        activations = self.activations(query, keys)  # [B, L]
        summed = sum_of_entries(activations * mask, keys)  # [B, e]
        count = ops.sum(mask, axis=1, keepdims=True)
        is_empty = ops.cast(ops.equal(count, 0), keys.dtype)  # [B, 1]
        return summed + is_empty * self.none

    def activations(self, query: Tensor, keys: Tensor) -> Tensor:
        """Returns a(k_l, q) of each entry, padding included, [B, L]."""
        _, length, _ = keys.shape
        first = self.first
        of_query = ops.matmul(query, first["query"] + first["difference"])  # [B, u]
        of_query = of_query + self.biases[0]
        x = self._first_layer(keys, self._kernels_of(query))  # [B, L, u]
        x = x + ops.expand_dims(of_query, 1)
        x = ops.reshape(x, (-1, self.units[0]))  # [B L, u]
        *hidden, last = self.kernels
        for kernel, slope, bias in zip(hidden, self.slopes, self.biases[1:], strict=False):
            x = ops.relu(x) - slope * ops.relu(-x)
            x = ops.matmul(x, kernel) + bias
        slope = ops.expand_dims(self.slopes[-1], -1)  # [u, 1]
        above = ops.matmul(ops.relu(x), last * (1.0 - slope))  # [B L, 1]
        x = above + ops.matmul(x, last * slope) + self.last_bias
        return ops.reshape(x, (-1, length))

    def _first_layer(self, keys: Tensor, kernels: Tensor) -> Tensor:
        """Multiplies the entries by the kernels of all queries: [B, L, e], [B, e, u] -> [B, L, u].

        One history for all queries is one product of two matrices.
        """
        if keys.shape[0] != 1:
            return ops.matmul(keys, kernels)
        _, length, e = keys.shape
        units = self.units[0]
        side_by_side = ops.reshape(ops.transpose(kernels, (1, 0, 2)), (e, -1))  # [e, B u]
        product = ops.reshape(ops.matmul(keys[0], side_by_side), (length, -1, units))
        return ops.transpose(product, (1, 0, 2))

    def _kernels_of(self, query: Tensor) -> Tensor:
        """The first layer's kernel for the keys of each query, [B, e, u]."""
        _, p = query.shape
        first = self.first
        of_keys = ops.convert_to_tensor(first["key"])
        compared = of_keys[:p] - first["difference"]  # [p, u]
        kernels = ops.expand_dims(query, -1) * first["product"] + compared  # [B, p, u]
        if p == of_keys.shape[0]:
            return kernels
        others = ops.zeros_like(kernels[:, :1]) + of_keys[p:]  # [B, e - p, u]
        return ops.concatenate([kernels, others], axis=1)

    def compute_output_shape(
        self,
        query_shape: Shape,
        keys_shape: Shape,
        mask_shape: Shape | None = None,
    ) -> Shape:
        """Returns [B, e]."""
        return (query_shape[0], keys_shape[-1])


def sum_of_entries(weights: Tensor, keys: Tensor) -> Tensor:
    """Sums a history's entries by weights.

    Args:
        weights: [B, L].
        keys: The entries, [B, L, e], or [1, L, e], one history for all rows.

    Returns:
        [B, e].
    """
    if keys.shape[0] == 1:
        return ops.matmul(weights, keys[0])
    summed = ops.matmul(ops.expand_dims(weights, 1), keys)  # [B, 1, e]
    return summed[:, 0]
