"""What the models share that predict products along a graph of actions between two steps."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tafe_tf.layers import Towers
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.products import logit_of, never_rising
from tafe_tf.types import Tensor


class ActionProducts(FunnelModel):
    """A tower and a head for each conditional probability, two of them for an action.

    A subclass says in `step` how the heads combine to a step's conditional probability. f_i is the
    product of these up to step i.

    Attributes:
        via: For each action that the model reads the index, from 0, of the step that it may come
            before, in order.
    """

    products = True
    may_learn_delays = False  # an action has no window of its own
    via: list[int]

    def finish_towers(self, tower_units: Sequence[int], dropout: float) -> None:
        """Makes the shifts of the steps, the embedding, the towers and the heads, N + 2 A."""
        self.shift = self.add_weight(
            name="shift",
            shape=(self.num_tasks,),
            initializer="zeros",
            trainable=False,
            dtype=self.variable_dtype,
        )
        towers = self.num_tasks + 2 * len(self.via)
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
        """Computes logits [B, N] from H [B, F, d], in training [B, N + A]."""
        flat = self.flatten(h)  # [B, F d]
        out = self.towers(flat, training=training)
        out = self.heads(out)  # [B, N + 2 A]
        log_f: list[Tensor] = []
        actions: list[Tensor] = []
        for i in range(self.num_tasks):
            logit, log_actions = self.step(i, out)
            for log_action in log_actions:
                actions.append(logit_of(log_f[-1] + log_action))
            log_p = ops.log_sigmoid(logit + self.shift[i])
            if log_f:
                log_p = log_f[-1] + log_p
            log_f.append(log_p)
        logits = never_rising([logit_of(log) for log in log_f])
        if training:
            logits += actions
        return self.with_amount(ops.stack(logits, axis=-1), out)

    def step(self, i: int, out: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Combines the heads of a step.

        Args:
            i: The step, from 0.
            out: The heads' logits, [B, N + 2 A].

        Returns:
            The logit of P(T_i | T_{i-1}), [B], and for each action before the step the logarithm of
            its probability, given T_{i-1}, [B] each.
        """
        raise NotImplementedError

    def shift_logits(self, by: Tensor) -> None:
        """Adds a constant [N] to the logits of the conditional steps for good."""
        self.shift.assign_add(by)
