"""ESM2, post-click behaviour decomposition over the entire space (Wen et al. 2020), any funnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tafe_tf.losses import ActionLoss, FunnelLoss
from tafe_tf.models.action_products import ActionProducts
from tafe_tf.models.products import checked_via, either_way
from tafe_tf.types import Tensor


@keras.saving.register_keras_serializable("tafe_tf")
class ESM2(ActionProducts):
    """A product of conditional probabilities along the graph of what happens between two steps.

    Between a step and the next lies an action D (a cart, a wish list), or another way O (eq. 2 to 6
    there). Of several actions before a step, the model reads the last; `HM3` reads all. With
    a = P(D | T_{i-1}), u = P(T_i | O) and v = P(T_i | D) the model has
    f_i = f_{i-1} ((1 - a) u + a v), and f_{i-1} a is learned from D's own label over the entire
    space. A step without an action is a plain conditional tower, and so is every step of a funnel
    whose actions are steps themselves (click -> cart -> buy, where nobody buys without a cart).

    Its further arguments and its call are those of `FunnelModel`.

    Args:
        via: For each action the index, from 0, of the step that it may come before, 1 or more; none
            by default. A of the steps have one.
        tower_units: Sizes of the layers of each tower; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Returns:
        Logits [B, N]; in training those of the actions over the entire space follow, [B, N + A].

    Example:
        >>> import numpy as np
        >>> model = ESM2(field_rows=[10, 20], num_tasks=2, via=[1])
        >>> ids = np.array([[1, 2], [3, 4], [9, 19]])
        >>> tuple(model(ids).shape), tuple(model(ids, training=True).shape)
        ((3, 2), (3, 3))
    """

    def __init__(
        self,
        field_rows: Sequence[int],
        num_tasks: int,
        embedding_dim: int = 18,
        via: Sequence[int] = (),
        tower_units: Sequence[int] = (256, 128, 64),
        dropout: float = 0.0,
        heads: Literal["conditional"] = "conditional",
        **kwargs: Any,
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, heads=heads, **kwargs)
        last = {step: place for place, step in enumerate(checked_via(via, num_tasks))}
        self.via = list(last)  # each step once
        self.places = list(last.values())  # of the actions that are read, among all
        self.finish_towers(tower_units, dropout)

    def step(self, i: int, out: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Combines the heads of a step and of the action before it, if there is one."""
        u = out[:, i]
        if i not in self.via:
            return u, []
        column = self.num_tasks + 2 * self.via.index(i)
        a = out[:, column]
        v = out[:, column + 1]
        return either_way(a, u, v), [ops.log_sigmoid(a)]

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of its paper."""
        settings = self.loss_settings(kwargs)
        return ActionLoss(
            self.num_tasks,
            columns=self.places,
            task_weights=task_weights,
            **settings,
        )
