"""Task Aware Feature Extraction (TAFE), the paper's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tafe_tf.layers import ASRG, GammaSchedule, TaskSpecificAdapter
from tafe_tf.models.funnel_model import FunnelModel


@keras.saving.register_keras_serializable("tafe_tf")
class TAFE(FunnelModel):
    """TAFE (section 3): L blocks of ASRG, each read by a Task-Specific Adapter, and one linear head a task.

    Block 1 reads the field embeddings H, block l the output of block l - 1. No message passes from the adapters
    back into the blocks (Figure 6). With the defaults and two tasks on Ali-CCP's 18 fields the model is the
    paper's 89 MB (Figure 8b).

    Args:
        field_rows: embedding rows of each of the F fields.
        num_tasks: N >= 2, the funnel's length.
        embedding_dim: d.
        num_inducing: K.
        num_heads: M.
        num_layers: L.
        selector_hidden: hidden sizes of the selectors' MLPs.
        gamma_start: gamma of eq. 16 at step 0.
        gamma_decay_steps: steps until gamma would reach 0; see `GammaSchedule`.
        embedding_stddev: standard deviation of the table's start.
        dropout: rate at which elements of H are dropped in training; the paper has none.
        slots: ids per field, by default one; see `FusedEmbedding`.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True advances gamma's schedule by one step and applies dropout.

    Returns:
        Logits [B, N], float32.
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
        embedding_stddev: float = 0.05,
        dropout: float = 0.0,
        slots: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be 1 or more. Received: num_layers={num_layers}")
        own: dict[str, Any] = {
            "num_inducing": num_inducing,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "selector_hidden": list(selector_hidden),
            "gamma_start": gamma_start,
            "gamma_decay_steps": gamma_decay_steps,
            "dropout": dropout,
        }
        super().__init__(
            field_rows, num_tasks, embedding_dim, own, embedding_stddev=embedding_stddev, slots=slots, **kwargs
        )
        policy = self.dtype_policy
        self.gamma = GammaSchedule(gamma_start, decay_steps=gamma_decay_steps)
        self.embedding = self.make_embedding()
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.blocks = [
            ASRG(num_inducing, num_heads, selector_hidden, residual="input" if i else "query", dtype=policy)
            for i in range(num_layers)
        ]
        self.adapters = [TaskSpecificAdapter(num_tasks, num_heads, dtype=policy) for _ in range(num_layers)]
        self.heads = self.make_heads()
        self.embedding.build()
        for i, (block, adapter) in enumerate(zip(self.blocks, self.adapters, strict=True)):
            block.build((None, num_inducing if i else self.num_fields, embedding_dim))
            adapter.build((None, num_inducing, embedding_dim))
        self.heads.build((None, num_tasks, embedding_dim))
        self.build()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Ids [B, S] -> logits [B, N]."""
        gamma = self.gamma.value()
        if training:
            self.gamma.advance()
        y, t = self.dropout(self.embedding(inputs), training=training), None
        for block, adapter in zip(self.blocks, self.adapters, strict=True):
            y = block(y, gamma)
            t = adapter(y, t)
        return self.heads(t)
