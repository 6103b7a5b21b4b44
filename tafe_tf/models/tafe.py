"""Task Aware Feature Extraction (TAFE), the paper's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import ASRG, FieldSelfAttention, GammaSchedule, TaskSpecificAdapter, Towers
from tafe_tf.losses import FunnelLoss
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.types import Inputs, Shape, Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class TAFE(FunnelModel):
    """TAFE (section 3): L blocks of ASRG, each read by a Task-Specific Adapter, and a head a task.

    Block 1 reads the field embeddings H, block l the output of block l - 1. No message passes from
    the adapters back into the blocks (Figure 6). With the defaults and two tasks on the 18 fields
    of Ali-CCP the model has the paper's 89 MB (Figure 8b). In training, each call advances gamma's
    schedule by one step.

    Its further arguments, its call and what it returns are those of `FunnelModel`.

    Args:
        num_inducing: Number of inducing points of each ASRG block of tafe, K; by default 64, as in
            the paper, and in a training job 16.
        num_heads: Number of attention heads of tafe and mran, M, a divisor of the embedding
            dimension; 2 by default.
        num_layers: Number of ASRG blocks of tafe, L; by default 4, as in the paper, and in a
            training job 2.
        selector_hidden: Sizes of the hidden layers in the MLPs of tafe's selectors; none by
            default.
        gamma_start: Width gamma of tafe's smooth step (eq. 16) at training step 0; 10 by default.
        gamma_decay_steps: Number of training steps after which gamma of tafe's smooth step would
            reach 0; 50,000 by default. A dataset smaller than the paper's needs fewer.
        dropout: Share of the elements of the embeddings H that are dropped in training; by default
            0, as in the paper, and in a training job 0.1.
        use_asrg: Whether tafe has its ASRG blocks; true by default. False is the paper's ablation
            "w/o ASRG" (section 4.3), with self-attention over the F fields instead.
        use_tsa: Whether tafe has its Task-Specific Adapters; true by default. False is the paper's
            ablation "w/o TSA", in which every task reads the mean of the last block through a tower
            of its own.
        tower_units: Sizes of the layers of a tower for each task before its head; by default none,
            and one layer of 64 units without the adapters.
        deep_units: Number of units of tafe's deep component: a layer with ReLU beside the blocks,
            which reads the embeddings H side by side and adds to the logits of all tasks, as
            AutoInt+ has one beside its attention (Song et al. 2019). By default 0, which is none,
            as in the paper, and in a training job 128 up to 131,071 training rows, 256 from there
            and 512 from 262,144 on.

    Example:
        >>> import numpy as np
        >>> model = TAFE(field_rows=[10, 20], num_tasks=2, num_inducing=4, num_layers=1)
        >>> ids = np.array([[1, 2], [3, 4], [9, 19]])
        >>> tuple(model(ids).shape)
        (3, 2)
        >>> model.compile(optimizer="adam", loss=model.paper_loss())
        >>> history = model.fit(ids, np.array([[1, 0], [1, 1], [0, 0]]), verbose=0)
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        num_inducing: int = 64,
        num_heads: int = 2,
        num_layers: int = 4,
        selector_hidden: Sequence[int] = (),
        gamma_start: float = 10.0,
        gamma_decay_steps: float = 50_000.0,
        dropout: float = 0.0,
        use_asrg: bool = True,
        use_tsa: bool = True,
        tower_units: Sequence[int] | None = None,
        deep_units: int = 0,
        **kwargs: Any,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be 1 or more. Received: num_layers={num_layers}")
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        policy = self.dtype_policy
        if tower_units is None:
            tower_units = [] if use_tsa else [64]
        self.arguments["tower_units"] = list(tower_units)  # saved as what None stood for
        self.gamma = GammaSchedule(gamma_start, decay_steps=gamma_decay_steps)
        self.embedding = self.make_embedding(build=False)
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.blocks = []
        for i in range(num_layers):
            is_first = i == 0
            self.blocks.append(self._block(is_first))
        self.adapters = []
        if use_tsa:
            for _ in range(num_layers):
                adapter = TaskSpecificAdapter(num_tasks, num_heads, dtype=policy)
                self.adapters.append(adapter)
        self.towers = None
        if tower_units:
            self.towers = Towers(num_tasks, tower_units, dtype=policy)
        self.heads = self.make_heads()
        self.deep = None
        if deep_units:
            self.deep = keras.layers.Dense(deep_units, activation="relu", dtype=policy)
            self.deep_heads = keras.layers.Dense(
                num_tasks + self.amount_columns,
                use_bias=False,  # the heads have one
                dtype=self.variable_dtype,
            )
        self._build_layers()
        self.build()

    def _block(self, is_first: bool) -> ASRG | FieldSelfAttention:
        """Makes one of the L blocks."""
        given = self.arguments
        policy = self.dtype_policy
        if not given["use_asrg"]:
            return FieldSelfAttention(given["num_heads"], dtype=policy)
        return ASRG(
            given["num_inducing"],
            given["num_heads"],
            given["selector_hidden"],
            residual="query" if is_first else "input",
            dtype=policy,
        )

    def _build_layers(self) -> None:
        """Builds all layers in the order in which they run."""
        self.embedding.build()
        shape: Shape = (None, self.num_fields, self.embedding_dim)
        for i, block in enumerate(self.blocks):
            block.build(shape)
            shape = block.compute_output_shape(shape)
            if self.adapters:
                self.adapters[i].build(shape)
        shape = (None, self.num_tasks, self.embedding_dim)  # T
        if self.towers is not None:
            if not self.adapters:
                shape = (None, self.embedding_dim)  # the mean of Y
            self.towers.build(shape)
            shape = self.towers.compute_output_shape(shape)
        self.heads.build(shape)
        if self.deep is not None:
            self.deep.build((None, self.flat_size))
            self.deep_heads.build((None, self.deep.units))

    def call(self, inputs: Inputs, training: bool = False) -> Tensor:
        """Computes the logits, ids [B, S] -> [B, N]; in training it counts a step of gamma."""
        logits = super().call(inputs, training)
        if training:
            self.gamma.advance()
        return logits

    def embed(self, inputs: Inputs, training: bool) -> Tensor:
        """Embeds: ids [B, S] -> H [B, F, d]."""
        h = super().embed(inputs, training)
        return self.dropout(h, training=training)

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d]."""
        represent = self.represent if self.native is None else self.native
        t = represent(h, self.gamma.value(), training)
        if self.towers is not None:
            t = self.towers(t, training=training)
        logits = self.heads(t)
        if self.deep is not None:
            flat = self.flatten(h)  # [B, F d]
            logits = logits + self.deep_heads(self.deep(flat))
        return logits

    def represent(self, h: Tensor, gamma: Tensor, training: bool) -> Tensor:
        """Computes the tasks' representations: H [B, F, d] -> T [B, N, d].

        Without TSA it is the mean of the last block, [B, d], which the tasks share.
        """
        y = h
        t = None
        for i, block in enumerate(self.blocks):
            has_selector = isinstance(block, ASRG)
            y = block(y, gamma, training=training) if has_selector else block(y)  # [B, K, d]
            if self.adapters:
                t = self.adapters[i](y, t)  # [B, N, d]
        if not self.adapters:
            return ops.mean(y, axis=1)
        return t

    def schedules(self) -> list[GammaSchedule]:
        """Returns gamma's schedule."""
        return [self.gamma]

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of its paper (eq. 25), with L_D."""
        settings = {"dependence_weight": 1.0, **kwargs}
        return super().paper_loss(task_weights, **settings)
