"""MRAN, relations of tasks and fields by attention (Zhao et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import FieldSelfAttention, TaskFieldAlignment, Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class MRAN(FunnelModel):
    """The Multiple Relational Attention Network: three relations, each learned by attention.

    1. Task-task (section 3.2 there): the tasks' representations attend to each other.
    2. Feature-feature (section 3.3): the fields' embeddings attend to each other.
    3. Task-feature (section 3.4): each task's representation from 1 weighs the fields from 2, see
       `TaskFieldAlignment`.

    1 and 2 are multi-head self-attentions with a residual and a norm (`FieldSelfAttention`). A
    task's tower and head read the fields as the task weighs them (section 3.5).

    Two things differ from the paper. There, a task's representation is its column of labels over
    the training rows; here it is a learned vector, since a served row has no labels and no row may
    depend on the others of its batch. There, the norms are batch norms; here they are layer norms,
    for the same reason. The paper's penalty on the relation matrices is left out.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        num_heads: Number of attention heads of tafe and mran, M, a divisor of the embedding
            dimension; 2 by default.
        tower_units: Sizes of the layers of each task's tower; two layers of 256 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Raises:
        ValueError: If `num_heads` does not divide the embedding dimension.

    Example:
        >>> import numpy as np
        >>> model = MRAN(field_rows=[10, 20], num_tasks=2)
        >>> tuple(model(np.array([[1, 2], [3, 4], [9, 19]])).shape)
        (3, 2)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        num_heads: int = 2,
        tower_units: Sequence[int] = (256, 64),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        policy = self.dtype_policy
        self.embedding = self.make_embedding()
        self.tasks = self.add_weight(
            name="tasks",
            shape=(1, num_tasks, embedding_dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0),  # as after a norm
            dtype=self.variable_dtype,
        )
        self.of_tasks = FieldSelfAttention(num_heads, dtype=policy)
        self.of_fields = FieldSelfAttention(num_heads, dtype=policy)
        self.alignment = TaskFieldAlignment(num_heads, dtype=policy)
        self.towers = Towers(num_tasks, tower_units, dropout, dtype=policy)
        tasks_shape = (1, num_tasks, embedding_dim)
        fields_shape = (None, self.num_fields, embedding_dim)
        self.of_tasks.build(tasks_shape)
        self.of_fields.build(fields_shape)
        self.alignment.build(tasks_shape, fields_shape)
        self.towers.build((None, num_tasks, self.flat_size))
        self.finish(tower_units[-1])

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        tasks = ops.cast(self.tasks, self.compute_dtype)
        tasks = self.of_tasks(tasks)  # [1, N, d]
        fields = self.of_fields(h)  # [B, F, d]
        aligned = self.alignment(tasks, fields)  # [B, N, F, d]
        flat = ops.reshape(aligned, (-1, self.num_tasks, self.flat_size))
        towers = self.towers(flat, training=training)  # [B, N, units]
        return self.heads(towers)
