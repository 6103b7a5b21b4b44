"""How well each output of a funnel does on rows, with what each row contributes to that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tafe_tf.insight.slices.measured import measured
from tafe_tf.metrics.influence import Estimate, auc_estimate, average, difference, mean_estimate
from tafe_tf.schema import Schema


class Quality(NamedTuple):
    """How well one output does; None where it is not defined.

    Attributes:
        auc: Its AUC.
        log_loss: Its mean log loss.
    """

    auc: Estimate | None
    log_loss: Estimate | None


def qualities(
    labels: Mapping[str, np.ndarray],
    logits: np.ndarray,
    schema: Schema,
) -> dict[str, Quality]:
    """Measures all steps and conditionals.

    Args:
        labels: The rows, see `Predictions.arrays`; their logits are not read.
        logits: What a model predicts of them, [n, N].
        schema: Theirs.

    Returns:
        The quality by the output's name, in the schema's order.
    """
    found = {}
    for one in measured({**labels, "logits": logits}, schema):
        if one.loss is None:
            continue
        positive = one.weight * one.observed
        negative = one.weight * (1 - one.observed)
        found[one.name] = Quality(
            auc=auc_estimate(one.score, positive, negative),
            log_loss=mean_estimate(one.loss, one.weight),
        )
    return found


def lost(before: Estimate | None, after: list[Estimate | None]) -> Estimate | None:
    """By how much a metric is smaller than before in the mean of some trials; None if undefined.

    Args:
        before: The metric.
        after: That of each trial, from the same rows.
    """
    trials = [one for one in after if one is not None]
    if before is None or not trials:
        return None
    return difference(before, average(trials))
