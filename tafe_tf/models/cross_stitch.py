"""Cross-stitch networks (Misra et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import CrossStitch, Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class CrossStitchNetwork(FunnelModel):
    """A tower for each task, with cross-stitch units after every layer but the last.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        tower_units: Sizes of the layers of each task's tower; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = CrossStitchNetwork(field_rows=[10, 20], num_tasks=2)
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        policy = self.dtype_policy
        self.embedding = self.make_embedding()
        self.levels = []
        for units in tower_units:
            level = Towers(num_tasks, [units], dropout, dtype=policy)
            self.levels.append(level)
        self.stitches = [CrossStitch(dtype=policy) for _ in tower_units[:-1]]
        shape: Shape = (None, self.flat_size)
        for level in self.levels:
            level.build(shape)
            shape = level.compute_output_shape(shape)
        for stitch, units in zip(self.stitches, tower_units, strict=False):
            stitch.build((None, num_tasks, units))
        self.finish(tower_units[-1])

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        first, *later = self.levels
        flat = self.flatten(h)  # [B, F d]
        x = first(flat, training=training)  # [B, N, width]
        for stitch, level in zip(self.stitches, later, strict=True):
            x = stitch(x)
            x = level(x, training=training)
        return self.heads(x)
