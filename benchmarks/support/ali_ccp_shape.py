"""Untrained models and invented rows with Ali-CCP's fields, to measure speed; needs no TensorFlow.

Weights and labels are random, because speed depends on neither. The fields and their vocabulary
sizes are the paper's 18 (section 3.1 and Table 1), or all 23 of Ali-CCP; ids follow a Zipf law.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.models import BY_NAME, FunnelModel
from tafe_tf.schema import FIRST

FIELDS = {
    "101": 238635,
    "121": 98,
    "122": 14,
    "124": 3,
    "125": 8,
    "126": 4,
    "127": 4,
    "128": 3,
    "129": 5,
    "205": 467298,
    "206": 6929,
    "207": 263942,
    "216": 106399,
    "508": 5888,
    "509": 104830,
    "702": 51878,
    "853": 37148,
    "301": 4,
}
ALL_FIELDS = {**FIELDS, "210": 80232, "109_14": 8150, "110_14": 1330, "127_14": 1330, "150_14": 3}


def rows(count: int, seed: int = 0, fields: Mapping[str, int] = FIELDS) -> dict[str, np.ndarray]:
    """Draws raw rows: columns by name, int64 [count] each.

    Args:
        count: Number of rows.
        seed: Seed of the draws; 0 by default.
        fields: Vocabulary sizes by field; the paper's 18 by default.
    """
    rng = np.random.default_rng(seed)
    return {f"f{name}": (rng.zipf(1.2, count) - 1) % size for name, size in fields.items()}


def labelled(
    count: int, seed: int = 0, fields: Mapping[str, int] = FIELDS
) -> dict[str, np.ndarray]:
    """Draws rows as `rows` does, and labels: 4 % are clicked and 0.5 % are bought."""
    draw = np.random.default_rng([seed, 1]).random(count)
    click = (draw < 0.04).astype(int)
    buy = (draw < 0.005).astype(int)
    return {**rows(count, seed, fields), "click": click, "buy": buy}


def scaled_fields(ids: int, fields: Mapping[str, int] = ALL_FIELDS) -> dict[str, int]:
    """Scales vocabulary sizes, Ali-CCP's 23 by default, so that they have about `ids` in all."""
    factor = ids / sum(fields.values())
    return {name: max(round(size * factor), 2) for name, size in fields.items()}


def model(spec: str, fields: Mapping[str, int] = FIELDS) -> FunnelModel:
    """Makes an untrained model of clicks and conversions, for ids as `Features` makes them.

    Args:
        spec: Which model, see `parse`.
        fields: Vocabulary sizes by field; the paper's 18 by default.
    """
    name, arguments = parse(spec)
    field_rows = [size + FIRST for size in fields.values()]
    return BY_NAME[name](field_rows, 2, **arguments)


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of a model.

    Args:
        spec: MODEL, or MODEL/ARGUMENT=VALUE/... with the constructor's arguments in Python syntax.
    """
    name, *settings = spec.split("/")
    arguments = {}
    for setting in settings:
        argument, _, value = setting.partition("=")
        arguments[argument] = ast.literal_eval(value)
    return name, arguments
