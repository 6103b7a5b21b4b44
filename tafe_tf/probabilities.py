"""Logits -> the named probabilities that are served."""

from __future__ import annotations

import itertools
from typing import Any

from keras import ops

from tafe_tf.schema import Schema


def lowest_so_far(logits: Any) -> list[Any]:
    """min(f_1, ..., f_i) of each step i: logits [B, N] -> N of [B]."""
    columns = (logits[:, i] for i in range(logits.shape[1]))
    return list(itertools.accumulate(columns, ops.minimum))


def probabilities(logits: Any, schema: Schema) -> dict[str, Any]:
    """The funnel's probabilities by name, made to add up.

    Nothing in the model keeps f_i <= f_{i-1} (L_D only pulls). Served is min(f_1, ..., f_i), so that a later step
    is never likelier than an earlier one and each conditional f_i / f_{i-1} is at most 1; their products give the
    later steps exactly. `violation_rate` of the metrics is the share of rows that this changes.

    Args:
        logits: of f, [B, N].
        schema: names the outputs.

    Returns:
        "ctr", "ctcvr" and "cvr", or "p_<task>" and "p_<task>_given_<previous>" in a longer funnel; each [B].
    """
    lowest = lowest_so_far(logits)
    steps = {
        name: ops.sigmoid(logit) for name, logit in zip(schema.step_names, lowest, strict=True)
    }
    logs = [ops.log_sigmoid(logit) for logit in lowest]
    given = (ops.exp(log - before) for before, log in itertools.pairwise(logs))
    return {**steps, **dict(zip(schema.conditional_names, given, strict=True))}
