"""Asks an export again what it was asked elsewhere, and compares the answers.

    python tests/replay.py shop.json loans.json

Needs TensorFlow and NumPy and nothing of this package, so that any release of TensorFlow can be
asked. `runtimes.py` writes the questions, and runs this in an environment for each release.
"""

from __future__ import annotations

import base64
import json
import pathlib
import platform
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2


def to_text(array: np.ndarray) -> str:
    """An array as the text of a TensorProto."""
    tensor = tf.make_tensor_proto(array)
    return base64.b64encode(tensor.SerializeToString()).decode("ascii")


def from_text(text: str) -> np.ndarray:
    """The array that `to_text` wrote."""
    tensor = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
    array: np.ndarray = tf.make_ndarray(tensor)
    return array


def replay(asked: Mapping[str, Any]) -> float:
    """The largest difference between an export's answers here and those that were noted.

    Args:
        asked: The directory of the export, `export`, and `questions`: each with its `signature`,
            and with `inputs` and `outputs`, texts of arrays by name.

    Raises:
        ValueError: If an answer has another type or shape, or a text or an integer differs.
    """
    worst = 0.0
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], asked["export"])
        for question in asked["questions"]:
            signature = loaded.signature_def[question["signature"]]
            feeds = {}
            for name, text in question["inputs"].items():
                feeds[signature.inputs[name].name] = from_text(text)
            fetches = {name: signature.outputs[name].name for name in question["outputs"]}
            for name, answer in session.run(fetches, feeds).items():
                noted = from_text(question["outputs"][name])
                difference = _difference(answer, noted, f"{question['signature']}, {name}")
                worst = max(worst, difference)
    return worst


def _difference(answer: np.ndarray, noted: np.ndarray, what: str) -> float:
    if answer.shape != noted.shape or answer.dtype != noted.dtype:
        raise ValueError(
            f"{what}: {answer.dtype} {answer.shape} instead of {noted.dtype} {noted.shape}"
        )
    if answer.dtype.kind != "f":
        if not np.array_equal(answer, noted):
            raise ValueError(f"{what}: another text or integer than was noted")
        return 0.0
    if not np.isfinite(answer).all():
        raise ValueError(f"{what}: not a finite number")
    return float(np.abs(answer - noted).max(initial=0.0))


def main() -> None:
    """Prints what answered, and for each file of questions the largest difference."""
    for file in sys.argv[1:]:
        asked = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        found = {
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "questions": len(asked["questions"]),
        }
        try:
            found["difference"] = replay(asked)
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            found["error"] = str(error)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
