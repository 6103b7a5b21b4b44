"""Funnels in which the row decides which of its fields interact, with known P(T_i = 1 | X)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel, append_half_shared


class SampleWiseFunnel(SyntheticFunnel):
    """A synthetic funnel of segments, each with interactions of its own.

    It is made such that the premise of TAFE (Sec. 4.2: which feature interactions matter differs
    from sample to sample) holds. A row belongs to one of S segments, by the value of its first
    field: the k-th value, `v0_k`, is of segment k mod S. The pairs of the other fields are dealt to
    the segments at random, a few to each and none to two. In a row of segment s,

        logit(step) = intercept + sum over fields j of effect_j[x_j]
                      + sum over the pairs (a, b) of s of left_{s,(a,b)}[x_a] right_{s,(a,b)}[x_b]

    where x_j is the value of field j, and `step` is given the one before. Every other pair has no
    interaction there. Each segment has the same pairs at all steps. Half of a later step's effects
    and factors are those of the step before. Everything else is as in `SyntheticFunnel`.

    Args:
        tasks: The names of the steps, in order. Default: "click" and "conversion".
        rates: P(T_i = 1) over all rows, decreasing; met in the mean, not by every draw. Default:
            0.2 and 0.05.
        fields: The number of fields, the first of which decides the segment; even ones hold
            strings, odd ones integers. Default: 12.
        values: The number of values of each field, not below the number of segments. Default: 20.
        interaction: The standard deviation of each of an interaction's two factors, where that of
            an effect is 0.5. Default: 0.8.
        segments: S, the number of segments. Default: 4.
        pairs: The number of pairs of fields that interact in a segment. Default: 6.
        seed: The seed of pairs, effects, factors and rows. Default: 0.
        delay: How late the last step comes, see `SyntheticFunnel`. Default: None.

    Attributes:
        pairs: The two fields of each interaction, [S, pairs, 2], the smaller one first.

    Raises:
        ValueError: If the rates do not fit the tasks or do not decrease, if there are more segments
            than values, or if there are too few fields for so many pairs.

    Example:
        >>> from tafe_tf.data.public.sample_wise import SampleWiseFunnel
        >>> funnel = SampleWiseFunnel(fields=4, segments=3, pairs=1)
        >>> sorted(funnel.pairs[:, 0].tolist())  # fields 1 to 3 have three pairs
        [[1, 2], [1, 3], [2, 3]]
    """

    name = "synthetic_sample_wise"

    def __init__(
        self,
        tasks: Sequence[str] = ("click", "conversion"),
        rates: Sequence[float] = (0.2, 0.05),
        fields: int = 12,
        values: int = 20,
        interaction: float = 0.8,
        segments: int = 4,
        pairs: int = 6,
        seed: int = 0,
        delay: DelayLaw | None = None,
    ) -> None:
        if segments > values:
            rule = "segments must be at most as many as values, which decide them"
            raise ValueError(f"{rule}. Received: segments={segments}, values={values}")
        self.segments = segments
        self.pairs = _deal_pairs(fields, segments, pairs, seed)
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
        rng = np.random.default_rng([self._seed, 0])
        of_segments = self.pairs.shape[:2]
        for _ in self.tasks:
            effect = rng.normal(0.0, 0.5, (self.fields, self.values))
            left = rng.normal(0.0, interaction, (*of_segments, self.values))
            right = rng.normal(0.0, interaction, (*of_segments, self.values))
            append_half_shared(self._effects, effect)
            append_half_shared(self._left, left)
            append_half_shared(self._right, right)

    def segment(self, ids: np.ndarray) -> np.ndarray:
        """The segments, [rows], of value indices [rows, fields]."""
        return np.asarray(ids[:, 0] % self.segments)

    def _logit(self, step: int, ids: np.ndarray) -> np.ndarray:
        """The logit of a step, given the one before; [rows]."""
        field = np.arange(self.fields)
        effect = self._effects[step][field, ids]  # [rows, fields]
        segment = self.segment(ids)
        row = np.arange(len(ids))[:, None]
        fields_of_pairs = self.pairs[segment]  # [rows, pairs, 2]
        left_ids = ids[row, fields_of_pairs[:, :, 0]]  # [rows, pairs], as all that follow
        right_ids = ids[row, fields_of_pairs[:, :, 1]]
        pair = np.arange(self.pairs.shape[1])
        left = self._left[step][segment[:, None], pair, left_ids]
        right = self._right[step][segment[:, None], pair, right_ids]
        interaction = left * right
        return np.asarray(effect.sum(axis=1) + interaction.sum(axis=1))


def _deal_pairs(
    fields: int,
    segments: int,
    pairs: int,
    seed: int,
) -> np.ndarray:
    """Deals the pairs of all fields but the first, as `SampleWiseFunnel.pairs`."""
    every = list(itertools.combinations(range(1, fields), 2))
    needed = segments * pairs
    if needed > len(every):
        raise ValueError(
            f"segments * pairs must be at most {len(every)}, the number of pairs of all "
            f"fields but the first. Received: fields={fields}, segments={segments}, pairs={pairs}"
        )
    rng = np.random.default_rng([seed, 3])
    shuffled = rng.permutation(np.array(every, dtype=np.int64).reshape(-1, 2))
    return np.asarray(shuffled[:needed].reshape(segments, pairs, 2))
