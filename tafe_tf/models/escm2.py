"""ESCM2, the entire space counterfactual multi-task model (Wang et al. 2022), for funnels of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.losses import CounterfactualLoss, FunnelLoss
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import product_logits


@keras.saving.register_keras_serializable("tafe_tf")
class ESCM2(FunnelModel):
    """ESMM whose conditional towers are also trained in the space of their own step, debiased by the propensity.

    The loss is `CounterfactualLoss`; with estimator "dr" a further tower a conditional step imputes its error.

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        estimator: "ips", "dr", or "naive": conditional steps learn from the rows that reached them, as they are, and
            from nothing else (global_weight 0).
        tower_units: sizes of each tower.
        dropout: rate after every layer in training.
        counterfactual_weight, global_weight, min_propensity: see `CounterfactualLoss`.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies dropout.

    Returns:
        Logits [B, N]; in training what `CounterfactualLoss` reads, [B, 2 N - 1] or [B, 3 N - 2].
    """

    products = True

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        estimator: str = "ips",
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        counterfactual_weight: float = 1.0,
        global_weight: float = 1.0,
        min_propensity: float = 0.01,
        **kwargs: Any,
    ) -> None:
        own = {
            "estimator": estimator,
            "tower_units": list(tower_units),
            "dropout": dropout,
            "counterfactual_weight": counterfactual_weight,
            "global_weight": global_weight,
            "min_propensity": min_propensity,
        }
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        self.paper_loss()  # an argument out of range is an error now
        self.is_doubly_robust = estimator == "dr"
        towers = 2 * num_tasks - 1 if self.is_doubly_robust else num_tasks
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.towers = Towers(towers, tower_units, dropout, dtype=self.dtype_policy)
        self.towers.build((None, self.num_fields * embedding_dim))
        self.heads = self.make_heads(towers)
        self.heads.build((None, towers, tower_units[-1]))
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N], and in training what the loss needs besides."""
        out = self.heads(self.towers(self.flatten(h), training=training))
        conditionals, imputed = out[:, : self.num_tasks], ops.softplus(out[:, self.num_tasks :])
        logits = product_logits(conditionals)
        return (
            ops.concatenate([logits, conditionals[:, 1:], imputed], axis=-1) if training else logits
        )

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """The loss of its paper."""
        c = self._config
        return CounterfactualLoss(
            self.num_tasks,
            c["estimator"],
            c["counterfactual_weight"],
            0.0 if c["estimator"] == "naive" else c["global_weight"],
            c["min_propensity"],
            task_weights=task_weights,
            **{"dependence_weight": 0.0, **kwargs},
        )
