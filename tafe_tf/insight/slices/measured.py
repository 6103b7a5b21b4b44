"""What each output of a funnel predicts of rows, and what happened in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tafe_tf.metrics import (
    log_conditional,
    log_not_conditional,
    log_sigmoid,
    weights_of_amounts,
    weights_of_steps,
)
from tafe_tf.schema import Schema

Rows = Mapping[str, np.ndarray]  # what `Predictions.arrays` gives


class Measured(NamedTuple):
    """One output on some rows.

    Attributes:
        name: Of the output, such as "ctr", "cvr" or "expected_amount".
        predicted: The prediction, float64 [n].
        observed: The label, or the amount, float64 [n].
        weight: How much each row counts, 0 where nothing is known or a conditional's step before
            did not happen, float64 [n].
        loss: The cross entropy of each row, float64 [n]; None for an amount.
        score: What orders the rows, as `predicted` does but without its rounding, float64 [n].
    """

    name: str
    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray
    loss: np.ndarray | None
    score: np.ndarray


def measured(rows: Rows, schema: Schema) -> list[Measured]:
    """Gives the steps, the conditionals, and the expected amount if the rows have one.

    Args:
        rows: Rows of a model, see `Predictions.arrays`.
        schema: Theirs.

    Returns:
        Each output on all rows, in the schema's order.
    """
    n = len(schema.step_names)
    known = (rows["depth"], rows["unknown"], rows["weight"], n)
    of_steps = weights_of_steps(*known)
    of_conditionals = weights_of_steps(*known, of_conditionals=True)
    logits = rows["logits"]
    found = []
    for i, name in enumerate(schema.step_names):
        log_p = log_sigmoid(logits[:, i])
        log_not_p = log_sigmoid(-logits[:, i])
        found.append(_step(name, log_p, log_not_p, rows["depth"] > i, of_steps[:, i]))
    for i, name in enumerate(schema.conditional_names, start=1):
        log_p = log_conditional(logits[:, i - 1], logits[:, i])
        log_not_p = log_not_conditional(log_p)
        reached = rows["depth"] >= i
        weight = np.where(reached, of_conditionals[:, i], 0.0)
        found.append(_step(name, log_p, log_not_p, rows["depth"] > i, weight))
    if "amount" in rows:
        found.append(_amount(rows, schema, of_steps[:, -1]))
    return found


def _step(
    name: str,
    log_p: np.ndarray,
    log_not_p: np.ndarray,
    happened: np.ndarray,
    weight: np.ndarray,
) -> Measured:
    return Measured(
        name=name,
        predicted=np.exp(log_p),
        observed=happened.astype(np.float64),
        weight=weight,
        loss=-np.where(happened, log_p, log_not_p),
        score=log_p,
    )


def _amount(
    rows: Rows,
    schema: Schema,
    weight: np.ndarray,
) -> Measured:
    """The expected amount: the last step's probability, as it is served, times the amount given."""
    log_p = log_sigmoid(rows["logits"].min(axis=1))
    expected = np.exp(log_p) * rows["amount_given"]
    happened = rows["depth"] == len(schema.step_names)
    own = weights_of_amounts(rows["amount"], happened, weight)
    return Measured(
        name=schema.amount_names[-1],
        predicted=expected,
        observed=np.where(own > 0, rows["amount"], 0.0),
        weight=own,
        loss=None,
        score=expected,
    )
