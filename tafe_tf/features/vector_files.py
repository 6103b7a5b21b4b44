"""Where the vectors lie that rows of a field start from."""

from __future__ import annotations

import dataclasses
import pathlib

from tafe_tf.schema import Feature, Schema
from tafe_tf.storage.addresses import is_remote, join, parent_of
from tafe_tf.storage.listing import missing


def path_of(feature: Feature, schema_file: str) -> str:
    """Where a feature's vectors lie: a path that is relative is so to the schema's folder.

    Args:
        feature: With `pretrained`.
        schema_file: The schema's file; "" if there is none, then to the current folder.

    Example:
        >>> from tafe_tf.schema import Feature
        >>> item = Feature(name="item", kind="vocabulary", pretrained="items.parquet")
        >>> path_of(item, "shop/schema.toml"), path_of(item, "")
        ('shop/items.parquet', 'items.parquet')
    """
    is_absolute = is_remote(feature.pretrained) or pathlib.Path(feature.pretrained).is_absolute()
    if is_absolute or not schema_file:
        return feature.pretrained
    return join(parent_of(schema_file), feature.pretrained)


def paths(schema: Schema, schema_file: str) -> list[str]:
    """The files of all features that have one, in the schema's order."""
    return [path_of(feature, schema_file) for feature in schema.features if feature.pretrained]


def problems(schema: Schema, schema_file: str) -> list[str]:
    """The files that are not there, a text for each."""
    gone = missing(paths(schema, schema_file))
    return [f"{path}: there is no such file (`pretrained` in the schema)" for path in gone]


def with_paths_from(schema: Schema, schema_file: str) -> Schema:
    """The schema with paths that mean the same wherever it lies."""
    features = []
    for feature in schema.features:
        if feature.pretrained:
            path = path_of(feature, schema_file)
            path = path if is_remote(path) else str(pathlib.Path(path).absolute())
            feature = dataclasses.replace(feature, pretrained=path)
        features.append(feature)
    return dataclasses.replace(schema, features=tuple(features))
