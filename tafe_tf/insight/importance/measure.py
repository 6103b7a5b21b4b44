"""Permutation importance: what a model loses when a field's values change places among rows.

The model is not trained again. A row gets the field's value of another row, drawn without
replacement, so that the field is distributed as before and says nothing of its row any more.

Intervals are those of the test rows' chance: a row's influence on the drop is that on the metric
less the mean of those on the metrics of all repeats (`metrics.influence`), and rows of one group
are taken together. What the draw of a permutation adds is in them already, since with the row its
drawn value is another: drawing repeats anew would count it twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf.insight.importance.effects import lost, qualities
from tafe_tf.insight.importance.fields import Field, permuted
from tafe_tf.insight.importance.held_rows import Arrays, HeldRows
from tafe_tf.metrics.influence import Estimate, normal_interval
from tafe_tf.schema import Schema

REPEATS = 5

Interval = tuple[float, float] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """What permuting a field does to one output.

    Attributes:
        field: The field's name, or the names of several with "+" between them.
        output: The name of a step or a conditional, such as "ctr".
        auc_drop: By how much the AUC is smaller, the mean of all repeats; None if it is undefined.
        interval: Its 95 % interval.
        log_loss_rise: By how much the log loss is larger.
        log_loss_interval: Its 95 % interval.
    """

    field: str
    output: str
    auc_drop: float | None
    interval: Interval
    log_loss_rise: float | None
    log_loss_interval: Interval

    def as_json(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Importance:
    """The importance of a model's fields.

    Attributes:
        rows: Number of rows.
        repeats: Number of permutations of each field.
        fields: Every effect: the field first whose mean drop over the steps is the largest, and
            within a field by the schema's order of outputs.
    """

    rows: int
    repeats: int
    fields: tuple[Effect, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return dataclasses.asdict(self)


def order_of(count: int, repeat: int) -> np.ndarray:
    """The permutation of a repeat: of each row the row whose value it gets, [count].

    It is the same for every field.
    """
    return np.random.default_rng(repeat).permutation(count)


def measure(
    rows: HeldRows,
    predict: Callable[[Arrays], np.ndarray],
    fields: Sequence[Field],
    schema: Schema,
    repeats: int = REPEATS,
    on_pass: Callable[[int], None] = lambda rows: None,
) -> Importance:
    """Measures what permuting each field does to each output.

    Args:
        rows: The rows.
        predict: A function from a model's inputs to its logits, [n, any] each -> [n, N].
        fields: Which fields.
        schema: The rows' schema.
        repeats: Number of permutations of each field. Default: 5.
        on_pass: Is called with the number of rows after each pass over them. Default: nothing.
    """
    before = qualities(rows.labels, predict(rows.inputs), schema)
    on_pass(rows.count)
    of_fields: dict[str, list[Effect]] = {}
    for field in fields:
        trials = []
        for repeat in range(repeats):
            order = order_of(rows.count, repeat)
            logits = predict(permuted(rows.inputs, field, order))
            trials.append(qualities(rows.labels, logits, schema))
            on_pass(rows.count)
        group = rows.labels.get("group")
        effects = []
        for output, quality in before.items():
            drop = lost(quality.auc, [trial[output].auc for trial in trials])
            fall = lost(quality.log_loss, [trial[output].log_loss for trial in trials])
            effects.append(_effect(field.name, output, drop, _negated(fall), group))
        of_fields[field.name] = effects
    ranked = sorted(of_fields.values(), key=lambda them: -_mean_drop(them, schema))
    effects = [effect for of_field in ranked for effect in of_field]
    return Importance(rows=rows.count, repeats=repeats, fields=tuple(effects))


def _effect(
    field: str,
    output: str,
    drop: Estimate | None,
    rise: Estimate | None,
    group: np.ndarray | None,
) -> Effect:
    return Effect(
        field=field,
        output=output,
        auc_drop=None if drop is None else drop.value,
        interval=None if drop is None else normal_interval(drop, group),
        log_loss_rise=None if rise is None else rise.value,
        log_loss_interval=None if rise is None else normal_interval(rise, group),
    )


def _negated(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    return Estimate(0.0 - estimate.value, -estimate.influence)  # no -0.0


def _mean_drop(effects: Sequence[Effect], schema: Schema) -> float:
    """The mean drop of the AUC over the steps that define it, 0 if none does."""
    by_output: Mapping[str, Effect] = {effect.output: effect for effect in effects}
    drops = [by_output[name].auc_drop for name in schema.step_names]
    known = [drop for drop in drops if drop is not None]
    return float(np.mean(known)) if known else 0.0
