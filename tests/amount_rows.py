"""Rows of a funnel whose conversions bring log-normal amounts of a known law."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.schema import Amount, Schema

FUNNEL = SyntheticFunnel(rates=(0.8, 0.6), fields=3, values=5, interaction=0.0)
INPUTS = ("field_0", "field_1", "field_2")


def law(rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the logarithm of each row's amount, given a conversion."""
    first = np.unique(rows["field_0"], return_inverse=True)[1]
    mean = 2.0 + 0.25 * first - 0.2 * rows["field_1"]
    deviation = 0.3 + 0.1 * rows["field_1"]
    return mean, deviation


def drawn(stream: int, count: int) -> dict[str, np.ndarray]:
    """Rows with "spend", 0 without a conversion, and "true_spend", its mean given one.

    Args:
        stream: 0 for training, 1 for test, ...
        count: How many rows.
    """
    rows = FUNNEL.chunk(stream=stream, number=0, rows=count)
    mean, deviation = law(rows)
    noise = np.random.default_rng([11, stream]).normal(size=count)
    amounts = np.exp(mean + deviation * noise)
    rows["spend"] = np.where(rows["conversion"] == 1, amounts, 0.0)
    rows["true_spend"] = np.exp(mean + deviation**2 / 2)
    return rows


def schema(**settings: Any) -> Schema:
    """The funnel's schema with the amount; further settings are the schema's."""
    amount = settings.pop("amount", Amount(name="spend"))
    return dataclasses.replace(FUNNEL.schema(), amount=amount, **settings)
