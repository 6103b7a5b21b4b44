"""Numbers as rows of H: times a vector, or as a soft choice among buckets (AutoDis)."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.layers.parts import Parts
from tafe_tf.types import Shape, Tensor

NumberEmbedding = Literal["linear", "autodis"]
NUMBER_EMBEDDINGS = ("linear", "autodis")
BUCKETS = 32  # of AutoDis

_SKIP = 0.8  # alpha of AutoDis: how much of the first layer passes the second by
_SLOPE = 0.2  # of the leaky ReLU below 0
_REACH = (
    2.0  # deviations to both sides of the mean over which AutoDis's buckets are spread at first
)


@keras.saving.register_keras_serializable("tafe_tf")
class NumberEncoder(Configured):
    """A row of H for each of some numbers that stand side by side.

    "linear": z w + b, with vectors w and b of each number.

    "autodis": a sum of bucket embeddings, weighted by a softmax over the buckets of what a network
    makes of z, section 3.2 of Guo et al. (2021): h = LeakyReLU(z w + b), softmax(W h + alpha h).
    Unlike there, the first layer has a bias, spread over the numbers: without one, all buckets
    would differ at z = 0 alone.

    A missing number has a vector of its own.

    Args:
        dim: Embedding dimension, d.
        count: Number of numbers, k.
        first: The place of the first of them among all M numbers; 0 by default.
        embedding: "linear" (the default) or "autodis".
        buckets: Number of buckets of each number, for "autodis"; 32 by default.
        stddev: Standard deviation of the normal distribution that vectors start from; 0.05 by
            default.

    Call arguments:
        z: Scaled numbers, NaN where they are missing, [B, k].

    Returns:
        [B, k, d].

    Raises:
        ValueError: If `embedding` is none of the two, or a size is below 1.

    Example:
        >>> import numpy as np
        >>> encoder = NumberEncoder(4, count=2)
        >>> tuple(encoder(np.array([[0.5, np.nan]])).shape)
        (1, 2, 4)
    """

    def __init__(
        self,
        dim: int,
        count: int,
        first: int = 0,
        embedding: NumberEmbedding = "linear",
        buckets: int = BUCKETS,
        stddev: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if embedding not in NUMBER_EMBEDDINGS:
            rule = f"`embedding` must be one of {NUMBER_EMBEDDINGS}"
            raise ValueError(f"{rule}. Received: {embedding!r}")
        if min(dim, count, buckets) < 1:
            received = f"dim={dim}, count={count}, buckets={buckets}"
            raise ValueError(
                f"`dim`, `count` and `buckets` must be 1 or more. Received: {received}"
            )
        self.dim = dim
        self.count = count
        self.first = first
        self.buckets = buckets
        self.stddev = stddev
        self.is_autodis = embedding == "autodis"

    def build(self, input_shape: Shape | None = None) -> None:
        """Makes the vectors [k, d] and, for "autodis", the network and the buckets [k, H, d]."""
        vectors = (self.count, self.dim)
        self.missing = self._vectors("missing", vectors)
        if self.is_autodis:
            hidden = (self.count, self.buckets)
            spread = keras.initializers.RandomUniform(-_REACH, _REACH)
            mix = keras.initializers.RandomNormal(stddev=self.buckets**-0.5)
            self.kernel = self.add_weight(
                name="kernel",
                shape=hidden,
                initializer=keras.initializers.RandomNormal(stddev=1.0),
            )
            self.bias = self.add_weight(name="bias", shape=hidden, initializer=spread)
            self.mix = self.add_weight(name="mix", shape=(*hidden, self.buckets), initializer=mix)
            self.meta = self._vectors("meta", (*hidden, self.dim))
        else:
            self.slope = self._vectors("slope", vectors)
            self.bias = self._vectors("bias", vectors)
        self.built = True

    def _vectors(self, name: str, shape: Shape) -> keras.Variable:
        initializer = keras.initializers.RandomNormal(stddev=self.stddev)
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def reads(self, parts: Parts) -> Tensor:
        """Picks the numbers, [B, k]."""
        return parts.numbers[:, self.first : self.first + self.count]

    def call(self, z: Tensor) -> Tensor:
        """Embeds numbers: [B, k] -> [B, k, d]."""
        is_missing = ops.isnan(z)
        z = ops.where(is_missing, ops.zeros_like(z), z)
        z = ops.expand_dims(z, -1)  # [B, k, 1]
        h = self._autodis(z) if self.is_autodis else z * self.slope + self.bias
        is_missing = ops.expand_dims(is_missing, -1)
        return ops.where(is_missing, ops.convert_to_tensor(self.missing), h)

    def _autodis(self, z: Tensor) -> Tensor:
        """Mixes bucket embeddings: [B, k, 1] -> [B, k, d]."""
        hidden = z * self.kernel + self.bias  # [B, k, H]
        hidden = ops.maximum(hidden, _SLOPE * hidden)
        by_number = ops.transpose(hidden, (1, 0, 2))  # [k, B, H]
        logits = ops.matmul(by_number, self.mix) + _SKIP * by_number
        shares = ops.softmax(logits, axis=-1)
        h = ops.matmul(shares, self.meta)  # [k, B, d]
        return ops.transpose(h, (1, 0, 2))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns [B, k, d]."""
        return (input_shape[0], self.count, self.dim)
