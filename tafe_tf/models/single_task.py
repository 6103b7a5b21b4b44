"""Single-Task: each task alone, the paper's first baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import Embedding, FunnelModel
from tafe_tf.types import Inputs, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class SingleTask(FunnelModel):
    """N three-layer MLPs with embeddings of their own (section 4.1.2): no weight is shared.

    They train together, as one model: the loss is a sum over tasks, so none sees another's gradient
    as long as L_D, which ties neighbouring tasks, has weight 0.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        tower_units: Sizes of the layers of each task's MLP; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Example:
        >>> import numpy as np
        >>> model = SingleTask(field_rows=[10, 20], num_tasks=2)
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
        self.embeddings = [self.make_embedding() for _ in range(num_tasks)]
        self.towers = Towers(
            num_tasks,
            tower_units,
            dropout,
            dtype=self.dtype_policy,
        )
        self.towers.build((None, num_tasks, self.flat_size))
        self.finish(tower_units[-1])

    def embed(self, inputs: Inputs, training: bool) -> Tensor:
        """Embeds for each task alone, and flattens: ids [B, S] -> [B, N, F d]."""
        of_tasks = []
        for embedding in self.embeddings:
            h = embedding(inputs)  # [B, F, d]
            if training:
                self.penalize(h)
            of_tasks.append(self.flatten(h))
        return ops.stack(of_tasks, axis=1)

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from the tasks' embeddings [B, N, F d]."""
        towers = self.towers(h, training=training)  # [B, N, units]
        return self.heads(towers)

    def embeddings_of_model(self) -> Sequence[Embedding]:
        """Returns the tasks' embedding layers."""
        return self.embeddings
