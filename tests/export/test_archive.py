"""What the files of a SavedModel hold."""

from __future__ import annotations

import tensorflow as tf

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
