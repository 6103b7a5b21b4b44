"""A SavedModel in a TensorFlow 1 session: the path that TensorFlow Serving takes, without Python objects or Keras."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class SessionModel:
    """Loads a SavedModel and answers its signatures.

    Args:
        path: the SavedModel's directory.

    Attributes:
        graph: the loaded `tf.Graph`.
        signatures: the SavedModel's signature definitions by name.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        tf.get_logger().setLevel("ERROR")  # version 1 of the loader announces its own age
        self.graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self.graph)
        with self.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(path))
        self.signatures = {name: s for name, s in meta.signature_def.items() if s.inputs}

    def __call__(self, columns: Mapping[str, Any], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
            columns: a value for every input of the signature, [B] or [B, length].
            signature: its name.

        Returns:
            The outputs by name, [B] each.
        """
        definition = self.signatures[signature]
        feeds = {tensor.name: columns[name] for name, tensor in definition.inputs.items()}
        fetches = {name: tensor.name for name, tensor in definition.outputs.items()}
        return self._session.run(fetches, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session.close()


def latest(export_dir: str | pathlib.Path) -> pathlib.Path:
    """The highest numbered version below `export_dir`.

    Raises:
        FileNotFoundError: if there is none.
    """
    versions = [path for path in pathlib.Path(export_dir).glob("*") if path.name.isdigit() and path.is_dir()]
    if not versions:
        raise FileNotFoundError(f"{export_dir}: holds no exported version (a directory with a number as its name)")
    return max(versions, key=lambda path: int(path.name))
