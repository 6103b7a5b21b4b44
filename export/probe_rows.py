"""Rows that try every kind of value in every field, for the gate and for tests of servers."""

from __future__ import annotations

import itertools
import pathlib

import numpy as np

from tafe_tf.schema import ABSENT, Feature, Schema

KNOWN = 50  # entries of a vocabulary that the rows may hold
_PRESENT = 0.7  # share of the vectors that are not missing
_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)
_INTEGERS = [0, 1, 2, 17, _INT64_MAX, _INT64_MIN]
_FLOAT32 = np.finfo(np.float32)
_EXTREME = [
    np.nan,
    np.inf,
    -np.inf,
    float(_FLOAT32.max),
    float(_FLOAT32.min),
]


def probe_rows(
    dataset: Schema,
    vocabularies: str | pathlib.Path,
    size: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Draws raw rows with known, unseen, missing and extreme values of every field.

    Args:
        dataset: The schema.
        vocabularies: A directory with `<feature>.txt` for each vocabulary, as the assets of an
            export are.
        size: Number of rows, B.
        seed: Seed of the draw; 0 by default.

    Returns:
        Columns as the served model takes them, [B], [B, max_length + 1] for lists, or [B, length]
        for vectors. All values of the last row are missing.
    """
    rng = np.random.default_rng([seed, size])
    columns: dict[str, np.ndarray] = {}
    for feature in dataset.features:
        shape: tuple[int, ...] = (size,)
        if feature.max_length:
            shape = (size, feature.max_length + 1)
        elif feature.length:
            shape = (size, feature.length)
        values = _values(feature, pathlib.Path(vocabularies))
        drawn = rng.integers(len(values), size=shape)
        columns[feature.column] = values[drawn]
        columns[feature.column][-1] = ABSENT[feature.raw_dtype]
        if feature.kind == "vector":  # whole or missing, as the client takes them
            is_missing = rng.random((size, 1)) >= _PRESENT
            is_missing[-1] = True
            whole = np.nan_to_num(columns[feature.column], nan=0.5, posinf=np.inf, neginf=-np.inf)
            columns[feature.column] = np.where(is_missing, np.float32(np.nan), whole)
        if feature.weights:
            columns[feature.weights] = _weights(rng, shape)
    return columns


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of list entries, one in ten of them extreme."""
    is_extreme = rng.random(shape) < 0.1
    extreme = rng.choice(_EXTREME, shape)
    usual = rng.normal(size=shape)
    weights = np.where(is_extreme, extreme, usual)
    return weights.astype(np.float32)


def _values(feature: Feature, vocabularies: pathlib.Path) -> np.ndarray:
    """The values to draw from, [n]."""
    if feature.is_numeric or feature.kind == "vector":
        values = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            12.5,
            -3e4,
            *_EXTREME,
        ]
        return np.array(values, np.float32)
    absent = ABSENT[feature.raw_dtype]
    known = _known(feature, vocabularies)
    if feature.raw_dtype == "string":
        numbers = [str(number) for number in _INTEGERS]
        texts = [
            absent,
            *known,
            *numbers,
            "é",
            "a b",
            "x" * 10_000,
        ]
        return np.array(texts, object)
    known_numbers = [int(text) for text in known]
    return np.array([absent, *known_numbers, *_INTEGERS], np.int64)


def _known(feature: Feature, vocabularies: pathlib.Path) -> list[str]:
    """The first entries of the feature's vocabulary, if it has one."""
    path = vocabularies / f"{feature.owner}.txt"
    if feature.kind != "vocabulary" or not path.exists():  # an empty vocabulary is no asset
        return []
    with open(path, encoding="utf-8", newline="\n") as file:
        first = itertools.islice(file, KNOWN)
        return [line.rstrip("\n") for line in first]
