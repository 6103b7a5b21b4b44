"""Funnels whose steps depend on the user's last items, with known P(T_i = 1 | X)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.schema import Feature, Schema, SequenceField


class HistoryFunnel(SyntheticFunnel):
    """A synthetic funnel of an item and the kinds of items that a user had before.

    Item k is of kind k mod K. A history has 0 to `length` items, all lengths and all items being as
    frequent, and does not depend on the item. The logit of each step, given the one before, is

        logit(step) = intercept + sum over fields j of effect_j[x_j] + effect[item]
                      + (strength if the item is of the kind of one of the last ten, else 0)

    The columns `item` and `kind` hold the item, and the lists `history` and `history_ago` the kinds
    of the user's items, the newest last, and how many items ago each was, 1 for the newest.

    What the mean of a list's embeddings can tell at most is known: it is the same in whatever order
    the items came, so a model that pools `history` and `history_ago` each by itself knows of the
    last ten no more than `bag_probabilities`.

    Args:
        tasks: The names of the steps, in order. Default: "click" and "conversion".
        rates: P(T_i = 1) over all rows, decreasing; met in the mean, not by every draw. Default:
            0.2 and 0.05.
        fields: The number of further fields; even ones hold strings, odd ones integers. Default: 4.
        values: The number of values of each of them. Default: 20.
        interaction: `strength`. Default: 2.5.
        items: The number of items. Default: 200.
        kinds: K, the number of kinds of items, not above that of items. Default: 20.
        length: The number of items of the longest history, 1 or more. Default: 30.
        seed: The seed of effects and rows. Default: 0.
        delay: How late the last step comes, see `SyntheticFunnel`. Default: None.

    Raises:
        ValueError: If the rates do not fit the tasks or do not decrease, or there are more kinds
            than items.

    Example:
        >>> from tafe_tf.data.public.history import HistoryFunnel
        >>> funnel = HistoryFunnel(fields=1, length=2)
        >>> columns = funnel.chunk(stream=0, number=0, rows=3)
        >>> [len(items) for items in columns["history"]]
        [1, 0, 1]
    """

    name = "synthetic_history"
    recent = 10  # items that a step depends on

    def __init__(
        self,
        tasks: Sequence[str] = ("click", "conversion"),
        rates: Sequence[float] = (0.2, 0.05),
        fields: int = 4,
        values: int = 20,
        interaction: float = 2.5,
        items: int = 200,
        kinds: int = 20,
        length: int = 30,
        seed: int = 0,
        delay: DelayLaw | None = None,
    ) -> None:
        if kinds > items:
            rule = "kinds must be at most as many as items"
            raise ValueError(f"{rule}. Received: kinds={kinds}, items={items}")
        self.items = items
        self.kinds = kinds
        self.length = length
        self.strength = interaction
        super().__init__(
            tasks=tasks,
            rates=rates,
            fields=fields,
            values=values,
            interaction=interaction,
            seed=seed,
            delay=delay,
        )

    def _draw_effects(self, interaction: float) -> None:
        super()._draw_effects(0.0)  # fields have effects and no interactions
        rng = np.random.default_rng([self._seed, 4])
        self._of_item = rng.normal(0.0, 0.5, (len(self.tasks), self.items))

    def _ids(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Value indices: the fields, the item, and the history from the newest on, -1 behind it."""
        fields = super()._ids(rng, rows)
        items = rng.integers(0, self.items, (rows, 1 + self.length))
        lengths = rng.integers(0, self.length + 1, (rows, 1))
        items[:, 1:][np.arange(self.length) >= lengths] = -1
        return np.concatenate([fields, items], axis=1)

    def rows(self, stream: int, number: int, rows: int) -> np.ndarray:
        """The value indices of the rows of a chunk, see `chunk`, [rows, fields + 1 + length]."""
        rng = np.random.default_rng([self._seed, 2, stream, number])
        return self._ids(rng, rows)

    def likes(self, ids: np.ndarray) -> np.ndarray:
        """Which items of the history are of the item's kind, [rows, length]."""
        item = ids[:, self.fields]
        history = ids[:, self.fields + 1 :]
        same = history % self.kinds == item[:, None] % self.kinds
        return np.asarray(same & (history >= 0))

    def _logit(self, step: int, ids: np.ndarray) -> np.ndarray:
        """The logit of a step, given the one before; [rows]."""
        is_like = self.likes(ids)[:, : self.recent].any(axis=1)
        return self._base(step, ids) + self.strength * is_like

    def _base(self, step: int, ids: np.ndarray) -> np.ndarray:
        """The logit of a step, given the one before, of an item that is like none of the last."""
        of_fields = super()._logit(step, ids[:, : self.fields])
        return np.asarray(of_fields + self._of_item[step][ids[:, self.fields]])

    def bag_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """What is known of P(T_i = 1) without the order of the history, [rows, N].

        Of n items of which c are of the item's kind, all orders are as likely. So one of the last
        ten is of the kind with probability 1 - C(n - c, 10) / C(n, 10), and 1 if n - c is below
        10 and c is not 0. P(T_i = 1) is the mean of its two values, weighted so.
        """
        likes = self.likes(ids).sum(axis=1)
        lengths = (ids[:, self.fields + 1 :] >= 0).sum(axis=1)
        drawn = np.minimum(lengths, self.recent)
        others = lengths - likes
        possible = others >= drawn
        none = np.zeros(len(ids))
        ways = _log_choose(others[possible], drawn[possible])
        none[possible] = np.exp(ways - _log_choose(lengths[possible], drawn[possible]))
        steps = []
        for step, intercept in enumerate(self._intercepts):
            base = self._base(step, ids) + intercept
            both = np.stack([base, base + self.strength], axis=1)
            steps.append(1.0 / (1.0 + np.exp(-both)))
        given = np.cumprod(np.stack(steps, axis=2), axis=2)  # [rows, 2, N]
        is_like = np.stack([none, 1.0 - none], axis=1)
        return np.asarray((given * is_like[:, :, None]).sum(axis=1))

    def _columns(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        columns = super()._columns(ids)
        columns["item"] = ids[:, self.fields]
        columns["kind"] = ids[:, self.fields] % self.kinds
        history = ids[:, self.fields + 1 :]
        lists = np.empty(len(ids), object)
        ago = np.empty(len(ids), object)
        for row, items in enumerate(history):
            count = int((items >= 0).sum())
            kinds = items[:count] % self.kinds
            lists[row] = kinds[::-1].tolist()
            ago[row] = list(range(count, 0, -1))
        columns["history"] = lists
        columns["history_ago"] = ago
        return columns

    def schema(self) -> Schema:
        """The dataset's schema, with a sequence that `kind` reads."""
        base = super().schema()
        features = (
            *base.features,
            Feature(name="item", kind="integer", size=self.items),
            Feature(name="kind", kind="integer", size=self.kinds),
            Feature(name="history", shares="kind", max_length=self.length, side="user"),
            Feature(
                name="history_ago",
                kind="integer",
                size=self.length + 1,
                max_length=self.length,
                side="user",
            ),
        )
        recent = SequenceField(name="recent", features=("history", "history_ago"), query=("kind",))
        return Schema(
            name=self.name,
            features=features,
            sequences=(recent,),
            tasks=base.tasks,
            time=base.time,
        )


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """log C(n, k), elementwise."""
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
