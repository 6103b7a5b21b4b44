"""A version of an export, as those see it who look at models."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tafe_tf import schema_toml
from tafe_tf.export.versions import PROFILE_FILE, SCHEMA_FILE, one_version

_LARGEST_LOGIT = 80.0  # of a probability that is 0 or 1 in float32


def version_of(path: str | os.PathLike[str]) -> pathlib.Path | None:
    """Where the files of the export are that a path means, see `one_version`; None if of none.

    Raises:
        StoreError: If a store cannot be read.
    """
    try:
        return one_version(path)
    except FileNotFoundError:
        return None


class Served:
    """A version of an export, asked in this process.

    Args:
        path: Its directory.

    Attributes:
        path: The same.
        schema: What its columns are.
        profile_file: What training noted of its rows, if the run had that.

    Raises:
        FileNotFoundError: If it has no schema.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.profile_file = path / PROFILE_FILE
        self.schema = schema_toml.load(self.path / SCHEMA_FILE)
        self._loaded = tf.saved_model.load(str(self.path))
        self._inputs = {column.name: column.input for column in self.schema.served_inputs}

    def ask(self, signature: str, columns: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What a signature answers to raw columns, by the names of its outputs."""
        inputs = {}
        for name, given in self._inputs.items():
            inputs[given] = tf.convert_to_tensor(columns[name])
        answer: dict[str, tf.Tensor] = self._loaded.signatures[signature](**inputs)
        return answer


class AsModel:
    """An export in a model's place: raw columns in, logits [B, N] out.

    `Evaluator` takes it with `raw` in the feature graph's place.

    Args:
        served: The export.

    Attributes:
        pieces: Is set by the evaluator; an export has none.
    """

    def __init__(self, served: Served) -> None:
        self.pieces = 1
        self._served = served

    def __call__(self, columns: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The logits of the probabilities that the export answers."""
        answer = self._served.ask("serving_default", columns)
        steps = [answer[name] for name in self._served.schema.step_names]
        p = tf.cast(tf.stack(steps, axis=1), tf.float64)
        logits = tf.math.log(p) - tf.math.log1p(-p)
        return tf.clip_by_value(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)


def raw(columns: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    """The columns as they are."""
    return columns
