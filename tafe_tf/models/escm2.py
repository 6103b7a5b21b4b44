"""ESCM2, the entire space counterfactual multi-task model (Wang et al. 2022), for any funnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.losses import CounterfactualLoss, FunnelLoss
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import product_logits
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ESCM2(FunnelModel):
    """ESMM whose conditional towers also learn in the space of their own step.

    There they are debiased by the propensity of reaching the step. The loss is
    `CounterfactualLoss`; with the estimator "dr" a further tower for each conditional step imputes
    its error.

    Its further arguments and its call are those of `FunnelModel`.

    Args:
        estimator: How escm2 estimates the risk of a conditional step: ips (the default) weights the
            rows that reached the step by their propensity, dr adds an imputation of the risk, and
            naive takes these rows as they are and learns from nothing else (as if global_weight
            were 0).
        tower_units: Sizes of the layers of each tower; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.
        counterfactual_weight: Weight of the debiased risks in escm2's loss; 1 by default.
        global_weight: Weight of the cross entropies of f_2, f_3, ... over all impressions in
            escm2's loss; 1 by default.
        min_propensity: Smallest propensity that escm2 divides by, which bounds the rows' weights;
            0.01 by default.

    Returns:
        Logits [B, N]; in training what `CounterfactualLoss` reads, [B, 2 N - 1] or, for "dr",
        [B, 3 N - 2].

    Example:
        >>> import numpy as np
        >>> model = ESCM2(field_rows=[10, 20], num_tasks=2, estimator="dr")
        >>> ids = np.array([[1, 2], [3, 4], [9, 19]])
        >>> tuple(model(ids).shape), tuple(model(ids, training=True).shape)
        ((3, 2), (3, 4))
    """

    products = True
    may_learn_delays = False  # its risks weigh rows by the step before as it is seen

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        estimator: Literal["ips", "dr", "naive"] = "ips",
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        counterfactual_weight: float = 1.0,
        global_weight: float = 1.0,
        min_propensity: float = 0.01,
        heads: Literal["conditional"] = "conditional",
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, heads=heads, **kwargs)
        self.paper_loss()  # raises now if an argument of the loss is out of range
        towers = num_tasks
        if estimator == "dr":
            towers += num_tasks - 1
        self.embedding = self.make_embedding()
        self.towers = Towers(
            towers,
            tower_units,
            dropout,
            dtype=self.dtype_policy,
        )
        self.towers.build((None, self.flat_size))
        self.finish(tower_units[-1], towers)

    def score(self, h: Tensor, training: bool) -> Tensor:
        """Computes logits [B, N] from H [B, F, d], and in training what the loss needs besides."""
        n = self.num_tasks
        flat = self.flatten(h)  # [B, F d]
        out = self.towers(flat, training=training)
        out = self.heads(out)  # [B, N], for "dr" [B, 2 N - 1]
        conditionals = out[:, :n]
        logits = product_logits(conditionals)  # [B, N]
        if not training:
            return self.with_amount(logits, out)
        end = out.shape[-1] - self.amount_columns
        imputed = ops.softplus(out[:, n:end])  # no column but for "dr"
        columns = [logits, conditionals[:, 1:], imputed]
        return self.with_amount(ops.concatenate(columns, axis=-1), out)

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of its paper."""
        given = self.arguments
        global_weight = given["global_weight"]
        if given["estimator"] == "naive":
            global_weight = 0.0
        settings = self.loss_settings(kwargs)
        return CounterfactualLoss(
            self.num_tasks,
            given["estimator"],
            counterfactual_weight=given["counterfactual_weight"],
            global_weight=global_weight,
            min_propensity=given["min_propensity"],
            task_weights=task_weights,
            **settings,
        )
