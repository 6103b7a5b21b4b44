"""Funnels of any length with known P(T_i = 1 | X), to hold a model against the truth."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.formats.write import Writer
from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.schema import Dtype, Feature, Schema, Task

CHUNK = 1 << 16  # rows made at a time
SAMPLE = 1 << 16  # rows on which the rates are set
_LARGEST_INTERCEPT = 40.0
_HALVINGS = 60  # from 80 down to the last bit of a float64


class SyntheticFunnel:
    """Rows whose labels are drawn from probabilities that are known.

    The fields are independent, with Zipf-distributed values. The logit of each step, given the one
    before, is a sum of an effect of every field's value and of an interaction of each field with
    the next; half of a later step's effects are those of the step before. An intercept sets the
    step's rate over all rows. The same arguments give the same rows.

    Args:
        tasks: The names of the steps, in order. Default: "click" and "conversion".
        rates: P(T_i = 1) over all rows, decreasing; met in the mean, not by every draw. Default:
            0.2 and 0.05.
        fields: The number of fields; even ones hold strings, odd ones integers. Default: 6.
        values: The number of values of each field. Default: 20.
        interaction: The standard deviation of each of an interaction's two factors, where that of
            an effect is 0.5. Default: 0.25.
        seed: The seed of effects and rows. Default: 0.
        delay: How late the last step comes. Rows have a `time` then, labels as the log shows them
            at its end, and in `final_<task>` the last label as it will be; everything else is as
            without it. Default: None, all labels are final.

    Raises:
        ValueError: If the rates do not fit the tasks or do not decrease.

    Example:
        >>> from tafe_tf.data.public.synthetic import SyntheticFunnel
        >>> funnel = SyntheticFunnel(fields=2)
        >>> list(funnel.chunk(stream=0, number=0, rows=5))
        ['field_0', 'field_1', 'true_click', 'true_conversion', 'click', 'conversion']
    """

    name = "synthetic"  # of the dataset, in its schema

    def __init__(
        self,
        tasks: Sequence[str] = ("click", "conversion"),
        rates: Sequence[float] = (0.2, 0.05),
        fields: int = 6,
        values: int = 20,
        interaction: float = 0.25,
        seed: int = 0,
        delay: DelayLaw | None = None,
    ) -> None:
        pairs = itertools.pairwise([1.0, *rates])
        is_decreasing = all(0 < rate < before for before, rate in pairs)
        if len(rates) != len(tasks) or not is_decreasing:
            rule = "rates must be one a task, decreasing, between 0 and 1"
            raise ValueError(f"{rule}. Received: {list(rates)}")
        if not (np.isfinite(interaction) and interaction >= 0):
            rule = "interaction must be a finite number, 0 or more"
            raise ValueError(f"{rule}. Received: {interaction}")
        self.tasks = list(tasks)
        self.fields = fields
        self.values = values
        self.delay = delay
        self._seed = seed
        share = 1.0 / np.arange(1, values + 1) ** 0.8
        self._share = share / share.sum()
        self._effects: list[np.ndarray] = []
        self._left: list[np.ndarray] = []
        self._right: list[np.ndarray] = []
        self._draw_effects(interaction)
        self._intercepts: list[float] = []
        self._set_intercepts(rates)

    def _draw_effects(self, interaction: float) -> None:
        rng = np.random.default_rng([self._seed, 0])
        shape = (self.fields, self.values)
        for _ in self.tasks:
            effect = rng.normal(0.0, 0.5, shape)
            append_half_shared(self._effects, effect)
            self._left.append(rng.normal(0.0, interaction, shape))
            self._right.append(rng.normal(0.0, interaction, shape))

    def _set_intercepts(self, rates: Sequence[float]) -> None:
        """Finds each step's intercept by bisection, since its rate grows with it."""
        rng = np.random.default_rng([self._seed, 1])
        ids = self._ids(rng, SAMPLE)
        reached = np.ones(SAMPLE)
        for step, rate in enumerate(rates):
            logit = self._logit(step, ids)
            low, high = -_LARGEST_INTERCEPT, _LARGEST_INTERCEPT
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                if np.mean(reached * _sigmoid(logit + middle)) < rate:
                    low = middle
                else:
                    high = middle
            self._intercepts.append(low)
            reached = reached * _sigmoid(logit + low)

    def _ids(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        return rng.choice(
            self.values,
            size=(rows, self.fields),
            p=self._share,
        )

    def _logit(self, step: int, ids: np.ndarray) -> np.ndarray:
        """The logit of a step, given the one before; [rows]."""
        field = np.arange(self.fields)
        effect = self._effects[step][field, ids]  # [rows, fields], as the two factors
        left = self._left[step][field, ids]
        right = self._right[step][field, ids]
        interaction = left * np.roll(right, 1, axis=1)
        of_fields = effect + interaction
        return np.asarray(of_fields.sum(axis=1))

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """P(T_i = 1 | X) over the entire space, [rows, N], of value indices [rows, fields]."""
        steps = []
        for step, intercept in enumerate(self._intercepts):
            logit = self._logit(step, ids)
            steps.append(_sigmoid(logit + intercept))
        conditional = np.stack(steps, axis=1)
        return np.cumprod(conditional, axis=1)

    def chunk(
        self,
        stream: int,
        number: int,
        rows: int,
    ) -> dict[str, np.ndarray]:
        """Columns of some rows: the fields, `true_<task>` and the labels; see `delay` for others.

        Args:
            stream: 0 for training, 1 for test, ...
            number: The number of the chunk; each is drawn anew from the seed.
            rows: How many rows.
        """
        seeds = [self._seed, 2, stream, number]
        rng = np.random.default_rng(seeds)
        ids = self._ids(rng, rows)
        truth = self.probabilities(ids)
        # One draw a row, against decreasing probabilities, so that the labels are nested.
        labels = truth > rng.random((rows, 1))
        columns = self._columns(ids)
        for i, task in enumerate(self.tasks):
            columns[f"true_{task}"] = truth[:, i]
        for i, task in enumerate(self.tasks):
            columns[task] = labels[:, i].astype(np.int64)
        if self.delay is None:
            return columns
        times, shows = self.delay.draw(np.random.default_rng([*seeds, 3]), rows)
        last = self.tasks[-1]
        columns[f"final_{last}"] = columns[last]
        columns[last] = columns[last] * shows
        columns["time"] = times
        return columns

    def _columns(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """The raw columns of value indices."""
        return {f"field_{field}": _column(field, ids[:, field]) for field in range(self.fields)}

    def write(
        self,
        path: str | pathlib.Path,
        rows: int,
        stream: int,
    ) -> None:
        """Writes rows to a file.

        Args:
            path: The file; its extension gives the format.
            rows: How many rows.
            stream: 0 for training, 1 for test, ...
        """
        with Writer(path) as writer:
            for number, start in enumerate(range(0, rows, CHUNK)):
                count = min(CHUNK, rows - start)
                columns = self.chunk(stream, number, count)
                writer.append(columns)

    def schema(self) -> Schema:
        """The dataset's schema: every field has a vocabulary, every task a column of its truth."""
        features = []
        for field in range(self.fields):
            dtype: Dtype = "int64" if _holds_integers(field) else "string"
            feature = Feature(
                name=f"field_{field}",
                kind="vocabulary",
                dtype=dtype,
            )
            features.append(feature)
        tasks = []
        for name in self.tasks:
            tasks.append(Task(name=name, truth=f"true_{name}"))
        time = ""
        if self.delay is not None:
            tasks[-1] = dataclasses.replace(tasks[-1], matures_after=self.delay.matures_after)
            time = "time"
        return Schema(
            name=self.name,
            features=tuple(features),
            tasks=tuple(tasks),
            time=time,
        )


def append_half_shared(of_steps: list[np.ndarray], drawn: np.ndarray) -> None:
    """Appends a step's numbers, half of them those of the step before; their deviation is kept."""
    if of_steps:
        drawn = 0.5 * of_steps[-1] + drawn * 0.75**0.5
    of_steps.append(drawn)


def _holds_integers(field: int) -> bool:
    return field % 2 == 1


def _column(field: int, ids: np.ndarray) -> np.ndarray:
    """The raw values of a field."""
    if _holds_integers(field):
        return ids
    texts = np.char.add(f"v{field}_", ids.astype(str))
    return texts.astype(object)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # scipy's `expit` differs in the last bit of one value in fifty, and so would every file.
    return 1.0 / (1.0 + np.exp(-x))
