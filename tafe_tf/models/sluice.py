"""Sluice networks, a learned architecture of shared subspaces and layers (Ruder et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import LayerStitch, SubspaceStitch, Towers
from tafe_tf.layers.subspace_stitch import orthogonality
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class SluiceNetwork(FunnelModel):
    """A tower for each task, whose subspaces are mixed after every layer, and whose layers at last.

    Each layer of each tower is cut into subspaces. After every layer, alpha mixes the subspaces of
    all tasks (eq. 1 there, `SubspaceStitch`). A task's head reads the mixture of what all its
    layers put out (eq. 2, `LayerStitch`). A penalty in the loss keeps the subspaces of a layer
    apart: the weights of one should be orthogonal to those of the other (`orthogonality`). It is
    added to the loss in training alone, whatever the batch.

    With one subspace, a number for each channel in place of each pair of subspaces, and beta at the
    last layer alone this would be `CrossStitchNetwork`.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        tower_units: Sizes of the layers of each task's tower, all alike in sluice, since their
            outputs are mixed; by default three layers of 128.
        num_subspaces: Number of subspaces of each layer of sluice, a divisor of its size; 2 by
            default.
        orthogonality_weight: Weight in the loss of sluice's penalty on subspaces that are not
            orthogonal; 0.001 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Raises:
        ValueError: If the `tower_units` differ, or `num_subspaces` does not divide them.

    Example:
        >>> import numpy as np
        >>> model = SluiceNetwork(field_rows=[10, 20], num_tasks=2)
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        tower_units: Sequence[int] = (128, 128, 128),
        num_subspaces: int = 2,
        orthogonality_weight: float = 0.001,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        if len(set(tower_units)) != 1:
            raise ValueError(
                "`tower_units` of sluice must be one or more layers of one size, since their "
                f"outputs are mixed. Received: tower_units={list(tower_units)}"
            )
        policy = self.dtype_policy
        self.num_subspaces = num_subspaces
        self.orthogonality_weight = orthogonality_weight
        self.embedding = self.make_embedding()
        self.levels = []
        self.stitches = []
        for units in tower_units:
            self.levels.append(Towers(num_tasks, [units], dropout, dtype=policy))
            self.stitches.append(SubspaceStitch(num_subspaces, dtype=policy))
        self.mixture = LayerStitch(dtype=policy)
        width = tower_units[0]
        flat_shape: Shape = (None, self.flat_size)
        of_tasks: Shape = (None, num_tasks, width)
        for i, (level, stitch) in enumerate(zip(self.levels, self.stitches, strict=True)):
            level.build(flat_shape if i == 0 else of_tasks)
            stitch.build(of_tasks)
        self.mixture.build([of_tasks for _ in tower_units])
        self.finish(width)

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        x = self.flatten(h)  # [B, F d]
        outputs = []
        for level, stitch in zip(self.levels, self.stitches, strict=True):
            x = level(x, training=training)  # [B, N, width]
            x = stitch(x)
            outputs.append(x)
        if training and self.orthogonality_weight:
            self.add_loss(self.orthogonality_weight * self.penalty())
        mixed = self.mixture(outputs)
        return self.heads(mixed)

    def penalty(self) -> Tensor:
        """Returns the sum of `orthogonality` over the layers, a scalar."""
        total: Tensor = 0.0
        for level in self.levels:
            kernel = ops.cast(level.kernels[0], self.variable_dtype)  # [N, in, width]
            total = total + orthogonality(kernel, self.num_subspaces)
        return total
