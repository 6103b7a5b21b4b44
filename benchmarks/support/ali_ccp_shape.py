"""Untrained models on Ali-CCP's fields, what speed is measured on; nothing here needs TensorFlow.

Weights and rows are random: speed depends on neither. Fields and vocabulary sizes are the paper's 18 (section 3.1 and
Table 1), or all 23 that Ali-CCP has; ids follow a Zipf law, as ids do.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Mapping

import numpy as np

from tafe_tf import schema_toml
from tafe_tf.models import BY_NAME, FunnelModel
from tafe_tf.schema import FIRST, Feature, Schema, Task

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
_USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129", "301")


def rows(count: int, seed: int = 0, fields: Mapping[str, int] = FIELDS) -> dict[str, np.ndarray]:
    """Raw columns, int64 [count] each."""
    rng = np.random.default_rng(seed)
    return {f"f{name}": (rng.zipf(1.2, count) - 1) % size for name, size in fields.items()}


def labelled(
    count: int, seed: int = 0, fields: Mapping[str, int] = FIELDS
) -> dict[str, np.ndarray]:
    """The same with labels, 4 % and 0.5 %."""
    click = np.random.default_rng([seed, 1]).random(count)
    return {
        **rows(count, seed, fields),
        "click": (click < 0.04).astype(int),
        "buy": (click < 0.005).astype(int),
    }


def write_schema(directory: pathlib.Path, fields: Mapping[str, int]) -> Schema:
    """Makes the directory and its schema.toml, every field a number below its size."""
    directory.mkdir(parents=True)
    features = tuple(
        Feature(
            name=f"f{name}",
            kind="integer",
            size=size,
            side="user" if name in _USER else "item",
        )
        for name, size in fields.items()
    )
    tasks = (Task(name="click"), Task(name="buy"))
    schema = Schema(name="ali_ccp", features=features, tasks=tasks)
    (directory / "schema.toml").write_text(schema_toml.dump(schema), encoding="utf-8")
    return schema


def model(spec: str, fields: Mapping[str, int] = FIELDS) -> FunnelModel:
    """An untrained model for ids as `Features` makes them.

    Args:
        spec: MODEL, or MODEL/ARGUMENT=VALUE/... with the constructor's arguments as Python writes them.
        fields: vocabulary sizes by field.
    """
    name, *settings = spec.split("/")
    arguments = {
        key: ast.literal_eval(value)
        for key, value in (setting.split("=", 1) for setting in settings)
    }
    return BY_NAME[name]([size + FIRST for size in fields.values()], 2, **arguments)
