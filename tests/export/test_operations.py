"""What a graph must not hold is found before it is loaded."""

from __future__ import annotations

import pathlib
import re

import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from tafe_tf.export import operations, versions
from tafe_tf.export.errors import ExportError
from tafe_tf.export.operations import check, read_graph


def saved(path: pathlib.Path, function: object) -> pathlib.Path:
    """A SavedModel of one function of floats."""
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")
    module.serve = tf.function(function, input_signature=[spec])
    module.table = tf.Variable([1.0], name="table")
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    return path


def test_operations_that_do_more_than_compute_are_named(tmp_path: pathlib.Path) -> None:
    file = str(tmp_path / "written")

    def writes(x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file(file, tf.strings.as_string(tf.reduce_sum(x)))
        return {"y": x}

    def reads(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.fill(tf.shape(x), tf.io.read_file(file))}

    def calls_python(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.py_function(lambda value: value, [x], tf.float32)}

    def prints(x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.print(x, output_stream=f"file://{file}")
        return {"y": x}

    def draws(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + tf.random.uniform(tf.shape(x))}

    def nested(x: tf.Tensor) -> dict[str, tf.Tensor]:
        body = tf.function(lambda value: value + tf.random.uniform([1]))
        return {"y": tf.map_fn(body, x[:, None])}

    names = {
        writes: "WriteFile",
        reads: "ReadFile",
        calls_python: "EagerPyFunc",
        prints: "PrintV2",
        draws: "RandomUniform",
        nested: "RandomUniform",
    }
    for function, name in names.items():
        path = saved(tmp_path / function.__name__, function)
        with pytest.raises(ExportError, match=rf"operation \S+ is a {name}, which is more than a"):
            check(path)
    check(saved(tmp_path / "good", lambda x: {"y": tf.linalg.expm(x[:, None, None])}))
    assert not (tmp_path / "written").exists()


def test_a_signature_must_not_save(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """The operations that save a model are in every SavedModel; only a saver may reach them."""
    model = read_graph(exports["numbers"])
    check(exports["numbers"])
    (graph,) = model.meta_graphs
    saver = graph.saver_def
    wanted: list[saved_model_pb2.SavedModel] = []
    for _ in range(2):
        wanted.append(saved_model_pb2.SavedModel())
        wanted[-1].CopyFrom(model)
    outputs = wanted[0].meta_graphs[0].signature_def["serving_default"].outputs
    next(iter(outputs.values())).name = saver.save_tensor_name
    wanted[1].meta_graphs[0].saver_def.restore_op_name = saver.save_tensor_name.split(":")[0]
    for changed in wanted:
        (tmp_path / versions.GRAPH).write_bytes(changed.SerializeToString())
        with pytest.raises(ExportError, match="which writes a file when the model is loaded"):
            check(tmp_path)


def test_a_graph_that_cannot_be_looked_at(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ExportError, match=r"holds no SavedModel: .*saved_model.pb"):
        check(tmp_path)
    (tmp_path / versions.GRAPH).write_bytes(b"\xff")
    with pytest.raises(ExportError, match=r"saved_model.pb is damaged"):
        check(tmp_path)
    (tmp_path / "saved_model.cpb").touch()
    with pytest.raises(ExportError, match=r"saved_model.cpb would be loaded in place of"):
        check(tmp_path)


def test_no_operation_that_takes_a_file_is_allowed() -> None:
    """TensorFlow's own list: whatever has an argument that speaks of files or addresses."""
    every = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    assert len(every.op) > 1000
    speaks = re.compile(r"file|(?<!top_)path|url|pattern|descriptor|memory_region|address|token$")
    named = set()
    for operation in every.op:
        arguments = [argument.name for argument in (*operation.input_arg, *operation.attr)]
        if any(speaks.search(argument) for argument in arguments):
            named.add(operation.name)
    assert {"WriteFile", "ReadFile", "MatchingFiles", "CacheDataset", "PyFunc"} <= named
    allowed = {name for name in named if operations._is_allowed(name)}
    assert allowed == {
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),  # vocabularies
        "MergeV2Checkpoints",  # which only a saver may reach
        *("RegexFullMatch", "RegexReplace", "StaticRegexFullMatch", "StaticRegexReplace"),
    }
