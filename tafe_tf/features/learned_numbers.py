"""What the training rows say of a feature's numbers, beside the vocabularies.

`vocabulary/<feature>.json` holds the edges of the buckets (kind "quantile"), unit, mean and
deviation (kind "number"), or the same of the vectors' lengths (kind "vector").
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.features.number_counts import NumberCounts, Spread
from tafe_tf.schema import Feature, Schema, SchemaError


def numbers_file(directory: str | pathlib.Path, feature: Feature) -> pathlib.Path:
    """Where it lies what the training rows say of a feature's numbers."""
    return pathlib.Path(directory) / "vocabulary" / f"{feature.name}.json"


def scaled_features(schema: Schema) -> list[Feature]:
    """The features whose numbers are placed by those of the training rows.

    A feature that uses another one's rows (`shares`) has that one's edges.
    """
    return [feature for feature in schema.features if feature.is_scaled and not feature.shares]


def write_numbers(
    directory: str | pathlib.Path,
    schema: Schema,
    counts: Mapping[str, NumberCounts],
) -> None:
    """Writes the file of each feature that has one.

    Args:
        directory: The folder that holds, or gets, `vocabulary/`.
        schema: Names the features.
        counts: The numbers of each of them in the training files, by its name.
    """
    for feature in scaled_features(schema):
        learned = _learned(feature, counts[feature.name])
        path = numbers_file(directory, feature)
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(learned) + "\n"
        path.write_text(text, encoding="utf-8")


def copy_numbers(
    source: str | pathlib.Path,
    directory: str | pathlib.Path,
    schema: Schema,
) -> None:
    """Copies the file of each feature that has one from another folder, to the byte.

    Raises:
        SchemaError: If a file there is damaged.
    """
    for feature in scaled_features(schema):
        _read(source, feature)
        path = numbers_file(directory, feature)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(numbers_file(source, feature).read_bytes())


def read_edges(directory: str | pathlib.Path, feature: Feature) -> np.ndarray:
    """The edges of a feature of kind "quantile", ascending, float32 [buckets - 1] at most.

    Raises:
        FileNotFoundError: If the file is not there.
        SchemaError: If it is damaged.
    """
    learned = _read(directory, feature)
    edges = np.array(learned["edges"], np.float32)
    return edges


def read_spread(directory: str | pathlib.Path, feature: Feature) -> Spread:
    """Where the numbers of a feature of kind "number" or "vector" lie; errors as `read_edges`."""
    learned = _read(directory, feature)
    return Spread(**learned)


def _learned(feature: Feature, counts: NumberCounts) -> dict[str, Any]:
    if feature.kind == "quantile":
        edges = counts.edges(feature.buckets)
        return {"edges": edges.astype(np.float64).tolist()}  # which writes each float32 exactly
    return dataclasses.asdict(counts.spread())


def _read(directory: str | pathlib.Path, feature: Feature) -> dict[str, Any]:
    path = numbers_file(directory, feature)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: feature {feature.name!r} needs what training rows say of its numbers; "
            "run tafe_tf.prepare"
        )
    try:
        learned: dict[str, Any] = json.loads(path.read_bytes())
        problem = _problem(feature, learned)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise SchemaError(f"{path}: is damaged: {problem[:120]}; build it again")
    return learned


def _problem(feature: Feature, learned: dict[str, Any]) -> str:
    """What is wrong with what a file holds; "" if nothing is."""
    if feature.kind == "quantile":
        edges = np.array(learned["edges"], np.float64)
        is_ascending = bool((np.diff(edges) > 0).all())
        if edges.ndim != 1 or not np.isfinite(edges).all() or not is_ascending:
            return "the edges must be ascending numbers"
        if len(edges) >= feature.buckets:
            return f"{feature.buckets} buckets have fewer edges than {len(edges)}"
        return ""
    spread = Spread(**learned)
    values = np.array([spread.unit, spread.mean, spread.deviation], np.float64)
    is_right = np.isfinite(values).all() and spread.unit > 0 and spread.deviation > 0
    return "" if is_right else "unit and deviation must be positive numbers"
