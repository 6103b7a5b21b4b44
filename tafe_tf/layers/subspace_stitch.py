"""The alpha of sluice networks: what every subspace of a layer takes from all others."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tafe_tf.layers.configured import Configured
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class SubspaceStitch(Configured):
    """h~_i = sum_j alpha_ij h_j, where i and j go over the U subspaces of all N tasks' layers.

    This is eq. 1 of Ruder et al. (2019). A layer's activations are cut into U subspaces of equal
    width. alpha, [N U, N U], has one number for each pair of them, whichever tasks they belong to.

    Args:
        num_subspaces: Number of subspaces of each task's layer, U; 2 by default, as in the paper.
        same: alpha_ii at the start, a share from 0 to 1; 0.9 by default. The rest comes evenly from
            all other subspaces. A subspace alone starts with all of its own.

    Call arguments:
        x: The tasks' activations, [B, N, width].

    Returns:
        The mixtures, [B, N, width].

    Raises:
        ValueError: If `num_subspaces` does not divide the width.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0, 11.0]]])  # a row, one task, two subspaces of one channel
        >>> np.round(SubspaceStitch()(x), 3).tolist()
        [[[2.0, 10.0]]]
    """

    def __init__(self, num_subspaces: int = 2, same: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_subspaces = num_subspaces
        self.same = same

    def build(self, x_shape: Shape) -> None:
        """Makes alpha, [N U, N U]."""
        _, n, width = x_shape
        subspace_width(width, self.num_subspaces)
        count = n * self.num_subspaces
        start = np.eye(count)
        if count > 1:
            other = (1.0 - self.same) / (count - 1)  # alpha_ij for i != j
            start = np.full((count, count), other)
            np.fill_diagonal(start, self.same)
        self.alpha = self.add_weight(
            name="alpha",
            shape=(count, count),
            initializer="zeros",
        )
        self.alpha.assign(start)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Mixes: [B, N, width] -> [B, N, width]."""
        _, n, width = x.shape
        count = n * self.num_subspaces
        own = subspace_width(width, self.num_subspaces)
        subspaces = ops.reshape(x, (-1, count, own))  # [B, N U, width / U]
        mixed = ops.matmul(self.alpha, subspaces)
        return ops.reshape(mixed, (-1, n, width))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """Returns the input's shape."""
        return x_shape


def subspace_width(width: int, num_subspaces: int) -> int:
    """Returns width / U; raises ValueError if the subspaces do not divide the width."""
    if num_subspaces < 1 or width % num_subspaces:
        raise ValueError(
            f"`num_subspaces` must divide the width {width} of a layer. "
            f"Received: num_subspaces={num_subspaces}"
        )
    return width // num_subspaces


def orthogonality(kernel: Tensor, num_subspaces: int) -> Tensor:
    """Computes the penalty on the subspaces of one layer that are not orthogonal.

    It is sum_n sum_{u < v} ||G_nu^T G_nv||^2 (section 3 of Ruder et al. 2019, squared Frobenius
    norms), where the columns of G_nu are the weights of the units in subspace u of task n. It is 0
    if each unit's weights are orthogonal to those of all units in the task's other subspaces. It
    reads no rows, and so does not depend on a batch.

    Args:
        kernel: The layer's weights, [N, in, width].
        num_subspaces: U, a divisor of the width.

    Returns:
        A scalar.

    Example:
        >>> import numpy as np
        >>> orthogonal = np.array([[[1.0, 0.0], [0.0, 1.0]]])  # a task, two units
        >>> float(orthogonality(orthogonal, 2)), float(orthogonality(np.ones((1, 2, 2)), 2))
        (0.0, 4.0)
    """
    n, size, width = kernel.shape
    own = subspace_width(width, num_subspaces)
    subspaces = ops.reshape(kernel, (n, size, num_subspaces, own))  # G
    products = ops.einsum("niua,nivb->nuvab", subspaces, subspaces)  # G_nu^T G_nv
    squares = ops.square(products)
    norms = ops.sum(squares, axis=(0, 3, 4))  # [U, U]
    pairs = np.triu(np.ones((num_subspaces, num_subspaces)), k=1)  # u < v
    return ops.sum(norms * ops.cast(pairs, norms.dtype))
