"""ESM2, post-click behaviour decomposition over the entire space (Wen et al. 2020), for funnels of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.losses import ActionLoss, FunnelLoss
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import log_sigmoid, logit_of


@keras.saving.register_keras_serializable("tafe_tf")
class ESM2(FunnelModel):
    """A product of conditional probabilities along the graph of what happens between two steps.

    Between a step and the next lies an action D (a cart, a wish list), or another way O (eq. 2 to 6 there): with
    a = P(D | T_{i-1}), u = P(T_i | O) and v = P(T_i | D), f_i = f_{i-1} ((1 - a) u + a v), and f_{i-1} a is learned
    from D's own label over the entire space. A step without an action is a plain conditional tower, and so is every
    step of a funnel whose actions are steps themselves (click -> cart -> buy, where nobody buys without a cart).

    Args:
        field_rows, num_tasks, embedding_dim, **kwargs: see `FunnelModel`.
        via: indices (from 0) of the steps that an action may come before, each 1 or more; A of them.
        tower_units: sizes of each tower.
        dropout: rate after every layer in training.

    Call arguments:
        inputs: ids [B, S], or {"ids": [B, S], "weights": [B, S]}; see `FusedEmbedding`.
        training: True applies dropout.

    Returns:
        Logits [B, N]; in training those of the actions over the entire space besides, [B, N + A].
    """

    products = True

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        via: Sequence[int] = (),
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        own = {"via": list(via), "tower_units": list(tower_units), "dropout": dropout}
        super().__init__(field_rows, num_tasks, embedding_dim, own, **kwargs)
        if any(not 0 < i < num_tasks for i in via) or len(set(via)) < len(via):
            raise ValueError(
                f"`via` must hold different steps from 1 to {num_tasks - 1}. Received: via={list(via)}"
            )
        self.via = sorted(via)
        towers = num_tasks + 2 * len(self.via)
        self.embedding = self.make_embedding()
        self.embedding.build()
        self.towers = Towers(towers, tower_units, dropout, dtype=self.dtype_policy)
        self.towers.build((None, self.num_fields * embedding_dim))
        self.heads = self.make_heads(towers)
        self.heads.build((None, towers, tower_units[-1]))
        self.shift = self.add_weight(
            name="shift",
            shape=(num_tasks,),
            initializer="zeros",
            trainable=False,
            dtype=self.variable_dtype,
        )
        self.build()

    def score(self, h: Any, training: bool) -> Any:
        """H [B, F, d] -> logits [B, N], in training [B, N + A]."""
        out = self.heads(self.towers(self.flatten(h), training=training))
        log_f: list[Any] = []
        actions, extra = [], self.num_tasks
        for i in range(self.num_tasks):
            logit = out[:, i]
            if i in self.via:
                a, v, extra = out[:, extra], out[:, extra + 1], extra + 2
                actions.append(logit_of(log_f[-1] + log_sigmoid(a)))
                # log((1 - a) u + a v)
                either = ops.logaddexp(
                    log_sigmoid(-a) + log_sigmoid(logit), log_sigmoid(a) + log_sigmoid(v)
                )
                logit = logit_of(either)
            log_p = log_sigmoid(logit + self.shift[i])
            log_f.append(log_f[-1] + log_p if log_f else log_p)
        return ops.stack([logit_of(log) for log in log_f] + (actions if training else []), axis=-1)

    def shift_logits(self, by: Any) -> None:
        """Adds a constant [N] to the conditional steps' logits for good."""
        self.shift.assign_add(by)

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """The loss of its paper."""
        return ActionLoss(
            self.num_tasks, task_weights=task_weights, **{"dependence_weight": 0.0, **kwargs}
        )
