"""What later statistics need of every row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tafe_tf import log_normal
from tafe_tf.data.batches.batch import Batch
from tafe_tf.metrics import hashes, weights_of_steps
from tafe_tf.schema import Schema

_BEYOND = 100.0  # above the logarithm of the largest amount


def labels_and_weights(rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The labels of rows, bool [n, N], and the weights with which each step of them counts, [n, N].

    Args:
        rows: What `Predictions.arrays` gives.
    """
    num_tasks = rows["logits"].shape[1]
    labels = rows["depth"][:, None] > np.arange(num_tasks)
    weights = weights_of_steps(rows["depth"], rows["unknown"], rows["weight"], num_tasks)
    return labels, weights


def amounts_given(outputs: np.ndarray) -> np.ndarray:
    """The expected amount given the last step, float64 [n], at most the largest that is served.

    Args:
        outputs: The model's output, whose last two columns are mu and s of the amount's law.
    """
    mu, s = outputs[:, -log_normal.COLUMNS :].astype(np.float64).T
    sigma = log_normal.SMALLEST_DEVIATION + np.logaddexp(0.0, s)
    log_mean = mu + 0.5 * sigma * sigma
    wide = np.exp(np.minimum(log_mean, _BEYOND))
    return np.asarray(np.minimum(wide, log_normal.LARGEST))


class Predictions:
    """Logits and labels of many rows, collected in the order of the batches.

    Args:
        schema: Of the rows.
        keeps_group: Whether to keep the values of its group column, if it has one. The default is
            False.
        keeps_amount: Whether to keep amounts, if it has one: boosted trees predict none. The
            default is True.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        keeps_group: bool = False,
        keeps_amount: bool = True,
    ) -> None:
        self._group = schema.group if keeps_group else ""
        none = np.zeros((0, len(schema.tasks)), np.float32)
        no_rows: dict[str, np.ndarray] = {
            "logits": none,
            "depth": np.zeros(0, np.uint8),
            "unknown": np.zeros(0, np.uint8),
            "weight": none if schema.step_weights else none[:, 0],
        }
        self._amount = ""
        if schema.amount is not None and keeps_amount:
            self._amount = schema.amount.column
        self._num_tasks = len(schema.tasks)
        if self._amount:
            no_rows |= {name: np.zeros(0) for name in ("amount", "amount_given")}
        if self._group:
            no_rows["group"] = np.zeros(0, np.uint64)
        self._parts = [no_rows]
        self.rows = 0

    def add(self, outputs: np.ndarray, batch: Batch) -> bool:
        """Adds a batch; always true, so that `Evaluator.predict` goes on."""
        logits = outputs[:, : self._num_tasks]
        steps_reached = (batch.labels > 0).sum(axis=1)
        depth = steps_reached.astype(np.uint8)
        unknown = (batch.labels < 0).sum(axis=1)
        part = {
            "logits": logits.astype(np.float32),
            "depth": depth,
            "unknown": unknown.astype(np.uint8),
            "weight": batch.weight,
        }
        if self._amount:
            part["amount"] = batch.extra[self._amount]
            part["amount_given"] = amounts_given(outputs)
        if self._group:
            groups = batch.extra[self._group]
            part["group"] = hashes(groups, depth.shape)
        self._parts.append(part)
        self.rows += len(depth)
        return True

    def arrays(self) -> dict[str, np.ndarray]:
        """All rows.

        Returns:
            "logits" float32 [n, N]; "depth", how many steps are known to be reached, uint8 [n];
            "unknown", of how many after these nothing is known, uint8 [n]; "weight" float32 [n], or
            [n, N] for each step; if there is a group, "group", its hash, uint64 [n]; and, if there
            is an amount, "amount", 0 where the last step did not happen and NaN where it is not
            known, and "amount_given", what is predicted given that step, float64 [n] both.
        """
        joined = {}
        for name in self._parts[0]:
            joined[name] = np.concatenate([part[name] for part in self._parts])
        return joined
