"""From logits to the named probabilities that are served."""

from __future__ import annotations

import itertools

from keras import ops

from tafe_tf import log_normal
from tafe_tf.schema import Schema
from tafe_tf.types import Tensor


def lowest_so_far(logits: Tensor) -> list[Tensor]:
    """Returns the logit of min(f_1, ..., f_i) for each step i: [B, N] -> N of [B]."""
    steps = logits.shape[1]
    columns = [logits[:, i] for i in range(steps)]
    lowest = itertools.accumulate(columns, ops.minimum)
    return list(lowest)


def probabilities(outputs: Tensor, schema: Schema) -> dict[str, Tensor]:
    """Computes the funnel's probabilities by name, made consistent with each other.

    Nothing in the model keeps f_i <= f_{i-1} (L_D only pulls). Served is min(f_1, ..., f_i), so
    that a later step is never more likely than an earlier one and each conditional f_i / f_{i-1} is
    at most 1; their products give the later steps exactly. The metric `violation_rate` is the share
    of rows that this changes.

    With an amount its expectation given the last step follows, and that times the last step's
    probability, the expected amount. Amounts that float32 cannot hold are its largest number.

    Args:
        outputs: Logits of f, [B, N]; with an amount the model's output, whose first N columns are
            logits of f and whose last two are mu and s of the amount's law.
        schema: The funnel's, which names the outputs.

    Returns:
        "ctr", "ctcvr" and "cvr", or "p_<task>" and "p_<task>_given_<previous>" in a longer funnel,
        or "ctr" alone in one of one step; each [B]. With an amount also "amount_given_<task>", of
        the last task, and "expected_amount".

    Example:
        >>> import numpy as np
        >>> from tafe_tf.schema import Feature, Task
        >>> schema = Schema(
        ...     name="shop",
        ...     tasks=(Task(name="click"), Task(name="buy")),
        ...     features=(Feature(name="item", kind="integer", size=9),),
        ... )
        >>> served = probabilities(np.array([[0.0, 3.0]]), schema)
        >>> {name: round(float(p[0]), 4) for name, p in served.items()}
        {'ctr': 0.5, 'ctcvr': 0.5, 'cvr': 1.0}
    """
    logits = outputs
    if schema.amount is not None:
        logits = outputs[:, : len(schema.tasks)]
    lowest = lowest_so_far(logits)
    named: dict[str, Tensor] = {}
    for name, logit in zip(schema.step_names, lowest, strict=True):
        named[name] = ops.sigmoid(logit)
    logs = [ops.log_sigmoid(logit) for logit in lowest]
    pairs = itertools.pairwise(logs)
    for name, (before, log) in zip(schema.conditional_names, pairs, strict=True):
        at_most_0 = ops.minimum(log - before, 0.0)  # which rounding may pass
        named[name] = ops.exp(at_most_0)
    if schema.amount is not None:
        of_given, of_expected = schema.amount_names
        log_mean = log_normal.log_means(outputs[:, -log_normal.COLUMNS :])
        named[of_given] = log_normal.of_logarithms(log_mean)
        named[of_expected] = log_normal.of_logarithms(logs[-1] + log_mean)
    return named
