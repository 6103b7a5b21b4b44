"""The fields of the AliExpress search data, and how the model reads each."""

from __future__ import annotations

from collections.abc import Sequence

from tafe_tf.schema import Feature, Schema, Task

# The user's columns stand first, then those of the item.
_CATEGORICAL, _CATEGORICAL_OF_USER = 16, 9
_NUMERICAL, _NUMERICAL_OF_USER = 63, 23
_INTEGERS = (58, 59, 60)  # of the numerical columns; the others are scaled to 0..1


def schema_of(countries: Sequence[str] = ()) -> Schema:
    """The dataset's schema; ranking is within a search, so rows are grouped by `search_id`.

    Args:
        countries: If there are several, `country` is a feature. Default: none.
    """
    features = []
    if len(countries) > 1:
        features.append(
            Feature(
                name="country",
                kind="vocabulary",
                side="user",
            )
        )
    for i in range(1, _CATEGORICAL + 1):
        side = "user" if i <= _CATEGORICAL_OF_USER else "item"
        features.append(_categorical(f"categorical_{i}", side))
    for i in range(1, _NUMERICAL + 1):
        side = "user" if i <= _NUMERICAL_OF_USER else "item"
        numerical = _integer if i in _INTEGERS else _fraction
        features.append(numerical(f"numerical_{i}", side))
    return Schema(
        name="aliexpress",
        group="search_id",
        tasks=(Task(name="click"), Task(name="conversion")),
        features=tuple(features),
    )


def _categorical(name: str, side: str) -> Feature:
    return Feature(
        name=name,
        kind="vocabulary",
        dtype="int64",
        min_count=10,
        side=side,
    )


def _integer(name: str, side: str) -> Feature:
    return Feature(name=name, kind="log_round", side=side)


def _fraction(name: str, side: str) -> Feature:
    """A number from 0 to 1, in 140 buckets where the default scale would give it 4."""
    return Feature(
        name=name,
        kind="log_round",
        scale=200,
        max_abs=1,
        side=side,
    )
