"""Funnels of any length with known P(T_i = 1 | X), to hold a model against the truth."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.formats.write import Writer
from tafe_tf.schema import Feature, Schema, Task

CHUNK = 1 << 16  # rows made at a time
SAMPLE = 1 << 16  # rows on which the rates are set


class SyntheticFunnel:
    """Rows whose labels are drawn from probabilities that are known.

    The fields are independent, with Zipf-distributed values. The logit of each step, given the one before, is a
    sum of an effect of every field's value and of an interaction of each field with the next; half of a later
    step's effects are those of the step before. An intercept sets the step's rate over all rows.

    Args:
        tasks: names of the steps, in order.
        rates: P(T_i = 1) over all rows, decreasing; met in the mean, not by every draw.
        fields: number of fields; even ones hold strings, odd ones integers.
        values: number of values of each field.
        interaction: standard deviation of each of an interaction's two factors, where that of an effect is 0.5.
        seed: of effects and rows.

    Raises:
        ValueError: if the rates do not fit the tasks or do not decrease.
    """

    def __init__(
        self,
        tasks: Sequence[str] = ("click", "conversion"),
        rates: Sequence[float] = (0.2, 0.05),
        fields: int = 6,
        values: int = 20,
        interaction: float = 0.25,
        seed: int = 0,
    ) -> None:
        bounds = [1.0, *rates]
        if len(rates) != len(tasks) or any(not 0 < b < a for a, b in itertools.pairwise(bounds)):
            raise ValueError(
                f"rates must be one a task, decreasing, between 0 and 1. Received: {list(rates)}"
            )
        self.tasks, self.fields, self.values, self._seed = list(tasks), fields, values, seed
        rng = np.random.default_rng([seed, 0])
        share = 1.0 / np.arange(1, values + 1) ** 0.8
        self._share = share / share.sum()
        self._effects: list[np.ndarray] = []
        self._left: list[np.ndarray] = []
        self._right: list[np.ndarray] = []
        for _ in tasks:
            effect = rng.normal(0.0, 0.5, (fields, values))
            self._effects.append(
                0.5 * self._effects[-1] + effect * 0.75**0.5 if self._effects else effect
            )
            self._left.append(rng.normal(0.0, interaction, (fields, values)))
            self._right.append(rng.normal(0.0, interaction, (fields, values)))
        self._intercepts: list[float] = []
        self._set_intercepts(rates)

    def _set_intercepts(self, rates: Sequence[float]) -> None:
        ids = self._ids(np.random.default_rng([self._seed, 1]), SAMPLE)
        reached = np.ones(SAMPLE)
        for step, rate in enumerate(rates):
            logit, low, high = self._logit(step, ids), -40.0, 40.0
            for _ in range(60):  # bisection: the rate grows with the intercept
                middle = (low + high) / 2
                is_low = np.mean(reached * _sigmoid(logit + middle)) < rate
                low, high = (middle, high) if is_low else (low, middle)
            self._intercepts.append(low)
            reached = reached * _sigmoid(logit + low)

    def _ids(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        return rng.choice(self.values, size=(rows, self.fields), p=self._share)

    def _logit(self, step: int, ids: np.ndarray) -> np.ndarray:
        field = np.arange(self.fields)
        left, right = self._left[step][field, ids], self._right[step][field, ids]
        return np.asarray(
            (self._effects[step][field, ids] + left * np.roll(right, 1, axis=1)).sum(axis=1)
        )

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """P(T_i = 1 | X) over the entire space, [rows, N], of value indices [rows, fields]."""
        steps = [_sigmoid(self._logit(i, ids) + b) for i, b in enumerate(self._intercepts)]
        return np.cumprod(np.stack(steps, axis=1), axis=1)

    def chunk(self, stream: int, number: int, rows: int) -> dict[str, np.ndarray]:
        """Columns of some rows: the fields, `true_<task>` and the labels.

        Args:
            stream: 0 for training, 1 for test, ...
            number: of the chunk; each is drawn anew from the seed.
            rows: how many.
        """
        rng = np.random.default_rng([self._seed, 2, stream, number])
        ids = self._ids(rng, rows)
        truth = self.probabilities(ids)
        labels = truth > rng.random((rows, 1))  # nested: one draw, against decreasing probabilities
        columns: dict[str, np.ndarray] = {}
        for f in range(self.fields):
            columns[f"field_{f}"] = (
                ids[:, f] if f % 2 else np.char.add(f"v{f}_", ids[:, f].astype(str)).astype(object)
            )
        columns.update({f"true_{task}": truth[:, i] for i, task in enumerate(self.tasks)})
        columns.update({task: labels[:, i].astype(np.int64) for i, task in enumerate(self.tasks)})
        return columns

    def write(self, path: str | pathlib.Path, rows: int, stream: int) -> None:
        """Writes `rows` rows; the extension gives the format."""
        with Writer(path) as writer:
            for number, start in enumerate(range(0, rows, CHUNK)):
                writer.append(self.chunk(stream, number, min(CHUNK, rows - start)))

    def schema(self) -> Schema:
        """The dataset's schema: every field has a vocabulary, every task a column of its truth."""
        tasks = tuple(Task(name=task, truth=f"true_{task}") for task in self.tasks)
        features = tuple(
            Feature(
                name=f"field_{field}",
                kind="vocabulary",
                dtype="int64" if field % 2 else "string",
            )
            for field in range(self.fields)
        )
        return Schema(name="synthetic", features=features, tasks=tasks)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))
