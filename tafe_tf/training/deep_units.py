"""How wide a job's TAFE makes its deep component where nobody chose it: by the number of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tafe_tf.training.config import ModelConfig

_NAME = "deep_units"
_LEAST = 128
_MOST = 512
_ROWS_OF_A_UNIT = 512


def with_deep_units(
    model: ModelConfig,
    rows: int,
    earlier: Mapping[str, Any] | None = None,
) -> ModelConfig:
    """The model with its deep component's number of units, where nobody chose one.

    It is 128 up to 131,071 rows, 256 from there and 512 from 262,144 rows on. BUILD_NOTES.md has
    the measurements.

    Args:
        model: Which model; one without a deep component stays as it is.
        rows: Number of rows that it is trained on.
        earlier: The arguments of the model that it goes on from, whose units it keeps. Default:
            None, it goes on from none.

    Example:
        >>> with_deep_units(ModelConfig(), rows=300_000).arguments
        {'deep_units': 512}
        >>> with_deep_units(ModelConfig(arguments={"deep_units": 0}), rows=300_000).arguments
        {'deep_units': 0}
    """
    if model.all_arguments().get(_NAME, 0) is not None:
        return model
    units = by_rows(rows) if earlier is None else earlier.get(_NAME, 0)
    return dataclasses.replace(model, arguments={**model.arguments, _NAME: units})


def by_rows(rows: int) -> int:
    """The largest power of two up to a 512th of the rows, between 128 and 512.

    Example:
        >>> [by_rows(rows) for rows in (1_000, 200_000, 300_000, 40_000_000)]
        [128, 256, 512, 512]
    """
    units = _LEAST
    while units < _MOST and 2 * units * _ROWS_OF_A_UNIT <= rows:
        units *= 2
    return units
