"""Cross-stitch networks (Misra et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import CrossStitch, Towers
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class CrossStitchNetwork(FunnelModel):
    """A tower a task on shared embeddings, with cross-stitch units after every layer but the last.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        tower_units: sizes of each task's tower.
        dropout: rate after every layer in training.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies dropout.

    Returns:
        Logits [B, N].
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
        own = {"tower_units": list(tower_units), "dropout": dropout}
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        policy = self.dtype_policy
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.levels = [Towers(num_tasks, [units], dropout, dtype=policy) for units in tower_units]
        self.stitches = [CrossStitch(dtype=policy) for _ in tower_units[:-1]]
        shape: tuple[int | None, ...] = (None, self.num_fields * embedding_dim)
        for level in self.levels:
            level.build(shape)
            shape = level.compute_output_shape(shape)
        for stitch, units in zip(self.stitches, tower_units, strict=False):
            stitch.build((None, num_tasks, units))
        self.heads = self.make_heads()
        self.heads.build(shape)
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        x = self.flatten(h)
        for level, stitch in zip(self.levels, [*self.stitches, None], strict=True):
            x = level(x, training=training)
            x = x if stitch is None else stitch(x)
        return self.heads(x)
