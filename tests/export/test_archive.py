"""What the files of a SavedModel hold."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import keras
import pytest
import tensorflow as tf
from tensorflow.core.function.polymorphism import function_type

from tafe_tf.export import archive
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run_dir import RunDir


def test_only_tables_are_variables(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    functions = model.graph.as_graph_def().library.function
    nodes = []
    for function in functions:
        if "traced_save" not in function.signature.name:
            nodes.extend(function.node_def)
    assert {"ResourceGather", "Const"} <= {node.op for node in nodes}
    # Dense weights are constants.
    assert not [node.name for node in nodes if node.op == "ReadVariableOp"]
    variables = tf.train.list_variables(str(model.path / "variables" / "variables"))
    shapes = [shape for _, shape in variables if shape]
    rows = 0
    for feature, of_feature in zip(run.schema().id_features, run.features().rows, strict=True):
        rows += 0 if feature.shares else of_feature
    assert shapes == [[rows, 4]]


def test_nothing_is_said_of_an_input_with_a_hyphen(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(function_type, "sanitization_warnings_given", 0)  # it warns five times only
    column = tf.TensorSpec([None], tf.float32, "user-id")
    endpoint = (lambda inputs: {"twice": 2 * inputs["user-id"]}, [{"user-id": column}])
    signatures: Any = SimpleNamespace(functions=lambda: {"serving_default": endpoint})
    features: Any = keras.layers.Identity()
    features.build([None])
    archive.write(tmp_path / "1", signatures, features, [])
    assert function_type.sanitization_warnings_given > 0
    assert "user-id" not in caplog.text
    model = tf.saved_model.load(str(tmp_path / "1"))
    answer = model.signatures["serving_default"](**{"user-id": tf.constant([1.5])})
    assert answer["twice"].numpy() == [3.0]
