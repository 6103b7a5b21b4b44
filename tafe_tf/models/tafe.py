"""Task Aware Feature Extraction (TAFE), the paper's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import ASRG, FieldSelfAttention, GammaSchedule, TaskSpecificAdapter, Towers
from tafe_tf.losses import FunnelLoss
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
        use_asrg: False is the ablation "w/o ASRG" of section 4.3: self-attention over the F fields in its place.
        use_tsa: False is "w/o TSA": every task reads the mean of Y^L through a tower of its own.
        tower_units: sizes of a tower a task before its head; by default none, and [64] without TSA.
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
        use_asrg: bool = True,
        use_tsa: bool = True,
        tower_units: Sequence[int] | None = None,
        slots: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be 1 or more. Received: num_layers={num_layers}")
        towers = ([] if use_tsa else [64]) if tower_units is None else list(tower_units)
        own: dict[str, Any] = {
            "num_inducing": num_inducing,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "selector_hidden": list(selector_hidden),
            "gamma_start": gamma_start,
            "gamma_decay_steps": gamma_decay_steps,
            "dropout": dropout,
            "use_asrg": use_asrg,
            "use_tsa": use_tsa,
            "tower_units": towers,
        }
        super().__init__(
            field_rows,
            num_tasks,
            embedding_dim,
            own,
            embedding_stddev=embedding_stddev,
            slots=slots,
            **kwargs,
        )
        policy = self.dtype_policy
        self.gamma = GammaSchedule(gamma_start, decay_steps=gamma_decay_steps)
        self.embedding = self.make_embedding()
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.blocks = [
            ASRG(
                num_inducing,
                num_heads,
                selector_hidden,
                residual="input" if i else "query",
                dtype=policy,
            )
            if use_asrg
            else FieldSelfAttention(num_heads, dtype=policy)
            for i in range(num_layers)
        ]
        self.adapters = [
            TaskSpecificAdapter(num_tasks, num_heads, dtype=policy)
            for _ in range(num_layers if use_tsa else 0)
        ]
        self.towers = Towers(num_tasks, towers, dtype=policy) if towers else None
        self.heads = self.make_heads()
        self._build_parts()
        self.build()

    def _build_parts(self) -> None:
        c, shape = self._config, (None, self.num_fields, self.embedding_dim)
        self.embedding.build()
        for i, block in enumerate(self.blocks):
            block.build(shape)
            shape = (
                None,
                c["num_inducing"] if c["use_asrg"] else self.num_fields,
                self.embedding_dim,
            )
            for adapter in self.adapters[i : i + 1]:
                adapter.build(shape)
        if self.towers is not None:
            self.towers.build(
                (None, self.num_tasks, self.embedding_dim)
                if self.adapters
                else (None, self.embedding_dim)
            )
        width = self.embedding_dim if self.towers is None else c["tower_units"][-1]
        self.heads.build((None, self.num_tasks, width))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Ids [B, S] -> logits [B, N]."""
        logits = super().call(inputs, training)
        if training:
            self.gamma.advance()
        return logits

    def embed(self, inputs: Any, training: bool) -> Any:
        """Ids [B, S] -> H [B, F, d]."""
        return self.dropout(self.embedding(inputs), training=training)

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N]."""
        gamma, y, t = self.gamma.value(), h, None
        for i, block in enumerate(self.blocks):
            y = block(y, gamma, training=training) if self._config["use_asrg"] else block(y)
            if self.adapters:
                t = self.adapters[i](y, t)
        if not self.adapters:
            t = ops.mean(y, axis=1)
        return self.heads(t if self.towers is None else self.towers(t, training=training))

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """The loss of its paper, with L_D."""
        return super().paper_loss(task_weights, **{"dependence_weight": 1.0, **kwargs})
