"""HM3, micro and macro actions between two steps (Wen et al. 2021), any funnel."""

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
class HM3(ActionProducts):
    """A product of conditional probabilities, with a chain of actions between two steps.

    The successor of `ESM2`. Between a step and the next come a micro action (the pictures, the
    reviews) and then a macro action (a cart, a wish list). Each may happen or not. With click and
    buy as the steps there are six conditional probabilities, a tower each (eq. 1 to 4 there):
    y_1 = P(click), y_2 = P(micro | click), y_3 = P(macro | micro), y_5 = P(macro | no micro),
    y_4 = P(buy | macro) and y_6 = P(buy | no macro). They combine to

        P(micro) = y_1 y_2
        P(macro) = y_1 m,  m = y_2 y_3 + (1 - y_2) y_5
        P(buy)   = y_1 (m y_4 + (1 - m) y_6)

    and each of these four has a cross entropy over the entire space. In the schema,
    `via = ["reviews", "cart"]` names the actions before a step. One action alone gives ESM2's
    probabilities, none those of ESMM, and more than two continue the chain.

    Its further arguments and its call are those of `FunnelModel`.

    Args:
        via: For each action the index, from 0, of the step that it may come before, 1 or more; A of
            them, none by default. Those of one step are a chain, the micro action first.
        tower_units: Sizes of the layers of each tower; 256, 128 and 64 by default.
        dropout: Share of units that are dropped after every layer in training; 0 by default.

    Returns:
        Logits [B, N]; in training those of the actions over the entire space follow, [B, N + A].

    Raises:
        ValueError: If one of `via` is no step, or the first one.

    Example:
        >>> import numpy as np
        >>> model = HM3(field_rows=[10, 20], num_tasks=2, via=[1, 1])
        >>> ids = np.array([[1, 2], [3, 4], [9, 19]])
        >>> tuple(model(ids).shape), tuple(model(ids, training=True).shape), model.towers.count
        ((3, 2), (3, 4), 6)
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
        self.via = checked_via(via, num_tasks)
        self.finish_towers(tower_units, dropout)

    def place_of_amount(self, count: int) -> int:
        """Returns the last head, that of the last step after all of its actions."""
        return count - 1

    def step(self, i: int, out: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Combines the heads of a step and of the chain of actions before it."""
        actions_before = sum(step < i for step in self.via)
        column = i + 2 * actions_before
        logit = out[:, column]  # of what comes first: an action, or the step itself
        log_actions = []
        for _ in range(self.via.count(i)):
            log_actions.append(ops.log_sigmoid(logit))
            otherwise = out[:, column + 1]  # of what comes next, without the action
            by_action = out[:, column + 2]
            column += 2
            logit = either_way(logit, otherwise, by_action)
        return logit, log_actions

    def paper_loss(self, task_weights: Sequence[float] | None = None, **kwargs: Any) -> FunnelLoss:
        """Returns the loss of its paper."""
        settings = self.loss_settings(kwargs)
        return ActionLoss(self.num_tasks, task_weights=task_weights, **settings)
