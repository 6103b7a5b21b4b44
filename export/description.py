"""What an export says of itself: its inputs, what is missing in them, and its fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.data.field_counts import KINDS
from tafe_tf.export.session_model import SessionModel
from tafe_tf.schema import Schema

SIGNATURE = "describe"  # the name of its input too
OUTPUT = "description"
FIELDS_SIGNATURE = "fields"


def describe(schema: Schema, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Describes an export.

    Args:
        schema: Its dataset.
        statistics: What training counted, see `tafe_tf.features.vocabulary.publish`. What it did
            not count is null.

    Returns:
        Under "inputs" what the model takes, under "missing" the texts that mean a missing value
        beside the empty one, and under "fields" the shares of missing and of unseen values in
        training. All of it can be written as JSON.

    Example:
        >>> from tafe_tf.export.description import describe
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> hour = Feature(name="hour", kind="integer", size=24, column="Hour of day")
        >>> schema = Schema(name="shop", features=(hour,), tasks=(Task(name="click"),))
        >>> described = describe(schema, {"unseen": {"hour": 0.1}})
        >>> described["inputs"][0]["name"], described["inputs"][0]["column"]
        ('hour', 'Hour of day')
        >>> described["fields"]
        [{'name': 'hour', 'missing': None, 'unseen': 0.1}]
    """
    inputs = []
    for column in schema.served_inputs:
        inputs.append(
            {
                "name": column.input,
                "column": column.name,
                "dtype": column.dtype,
                "max_length": column.max_length,
                **({"is_exact": True} if column.is_exact else {}),
                "separator": column.separator,
            }
        )
    fields = []
    for feature in schema.counted_features:
        shares = {kind: statistics.get(kind, {}).get(feature.name) for kind in KINDS}
        fields.append({"name": feature.name, **shares})
    return {
        "inputs": inputs,
        "missing": list(schema.missing),
        "fields": fields,
    }


def ask(served: SessionModel) -> dict[str, Any] | None:
    """The description of a loaded export; None if it was made before exports had one."""
    if SIGNATURE not in served.signatures:
        return None
    question = {SIGNATURE: np.array([b""], object)}
    answer = served(question, SIGNATURE)[OUTPUT]
    described: dict[str, Any] = json.loads(answer[0])
    return described
