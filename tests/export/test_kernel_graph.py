"""The kernel's signatures are those of the SavedModel, and no export holds a part of the kernel."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
import scoring_jobs
import small_models
import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.export import kernel_check, operations, versions
from tafe_tf.export.errors import ExportError
from tafe_tf.export.kernel_graph import GAMMA, SCOPE, SIZES, WEIGHTS, H, T
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input, signature_inputs
from tafe_tf.native import library
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.server.versions import Loading, open_session

Change = Callable[[dict[str, node_def_pb2.NodeDef]], None]


@pytest.fixture(scope="module")
def kernel(kernel: library.Library) -> Iterator[library.Library]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: kernel)
        yield kernel


@pytest.fixture
def without_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(library, "load", lambda: None)
    monkeypatch.setattr(library, "path", lambda: tmp_path / "no-library.so")


def changed(export: pathlib.Path, directory: pathlib.Path, change: Change) -> pathlib.Path:
    """A copy of an export without a manifest, with a change of the nodes of its marked function."""
    copy = directory / "1"
    for path in export.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "model_card.json"):
            place = copy / path.relative_to(export)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    saved = operations.read_graph(copy)
    change(marked_nodes(saved))
    (copy / versions.GRAPH).write_bytes(saved.SerializeToString())
    return copy


def marked_nodes(saved: saved_model_pb2.SavedModel) -> dict[str, node_def_pb2.NodeDef]:
    functions = saved.meta_graphs[0].graph_def.library.function
    of_all = [{node.name: node for node in function.node_def} for function in functions]
    (nodes,) = (nodes for nodes in of_all if SCOPE + T in nodes)
    return nodes


def without_marks(nodes: dict[str, node_def_pb2.NodeDef]) -> None:
    """Makes the export one of before there were marks."""
    nodes[SCOPE + T].name = "before_there_were_marks"
    for node in nodes.values():
        for i, name in enumerate(node.input):
            if name == f"{SCOPE}{T}:output:0":
                node.input[i] = "before_there_were_marks:output:0"


def with_other_epsilon(nodes: dict[str, node_def_pb2.NodeDef]) -> None:
    """Lets the kernel compute something else than the layers."""
    tensor = nodes[SCOPE + SIZES].attr["value"].tensor
    sizes = json.loads(tensor.string_val[0])
    tensor.string_val[0] = json.dumps({**sizes, "epsilon": 0.5}).encode()


def with_too_few_weights(nodes: dict[str, node_def_pb2.NodeDef]) -> None:
    del nodes[SCOPE + WEIGHTS].input[-1]
    del nodes[SCOPE + WEIGHTS].attr["T"].list.type[-1]


@pytest.mark.slow
def test_every_signature_is_the_same_with_and_without_the_kernel(
    exports: dict[str, pathlib.Path], kernel: library.Library
) -> None:
    export = exports["shop"]  # has all kinds of features and signatures
    schema = schema_toml.load(export / "assets.extra" / "schema.toml")
    rows = probe_rows(schema, export / "assets", 70)
    with contextlib.closing(SessionModel(export, native="on", native_threads=2)) as served:
        assert served.way == f"native kernel for {kernel.target}; threads a call: 2"
        scoring = set(served.signatures) - {"fields", "describe"}
        assert served.native_signatures == scoring >= {"serving_default", "examples", "rank"}
        for name, inputs in signature_inputs(schema, rows, scoring):
            _check_equal(served, name, inputs, 70)
        one_row = {name: values[:1] for name, values in rows.items()}
        _check_equal(served, "serving_default", by_input(schema, one_row), 1)
        functions = served.graph.as_graph_def().library.function
        by_kernel = [each for each in functions if _has_kernel(each)]
        assert len(by_kernel) == 1  # which all signatures call


def _check_equal(
    served: SessionModel, signature: str, inputs: Mapping[str, np.ndarray], count: int
) -> None:
    stock = served(inputs, signature, stock=True)
    for output, values in served(inputs, signature).items():
        assert values.shape == (count,)
        np.testing.assert_allclose(values, stock[output], rtol=0, atol=2e-6)


def _has_kernel(function: function_pb2.FunctionDef) -> bool:
    return any(node.op == "TafeScore" for node in function.node_def)


def test_what_the_kernel_computes_is_what_is_answered(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, kernel: library.Library
) -> None:
    export = changed(exports["numbers"], tmp_path, with_other_epsilon)
    schema = schema_toml.load(export / "assets.extra" / "schema.toml")
    rows = by_input(schema, probe_rows(schema, export / "assets", 70))
    with contextlib.closing(SessionModel(export, native="on")) as served:
        whole = SessionModel(exports["numbers"])(rows)["ctr"]
        np.testing.assert_array_equal(served(rows, stock=True)["ctr"], whole)
        assert np.abs(served(rows)["ctr"] - whole).max() > 1e-3
        with pytest.raises(
            ExportError, match=f"^{export}: signature serving_default: .* differ .* by up to 0"
        ):
            kernel_check.check(served, "serving_default", rows)
        served.leave_kernel("it differs")
        np.testing.assert_array_equal(served(rows)["ctr"], whole)
        assert served.way.endswith("is not used: it differs")


@pytest.mark.parametrize("change", [with_other_epsilon, with_too_few_weights])
def test_a_server_leaves_a_kernel_that_differs(
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    kernel: library.Library,
    change: Change,
) -> None:
    export = changed(exports["numbers"], tmp_path, change)
    with contextlib.closing(open_session(export, Loading(enable_model_warmup=False))) as served:
        assert served.native_signatures == set()
        assert served.way.startswith("stock operations; the native kernel is not used: ")
    with pytest.raises((ExportError, tf.errors.InvalidArgumentError)):
        open_session(export, Loading(native="on"))
    with contextlib.closing(open_session(exports["numbers"], Loading(native="on"))) as served:
        assert served.native_signatures


def test_batch_scoring_stops_where_the_kernel_differs(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, kernel: library.Library
) -> None:
    export = changed(exports["numbers"], tmp_path, with_other_epsilon)
    file = scoring_jobs.mkdir(tmp_path / "in") / "a.parquet"
    write(file, small_models.rows("numbers", 100))
    task = scoring_jobs.job(export, file, native="auto")
    rule = f"^{export}: signature serving_default: .* differ from .* by up to 0.*, more than 1e-05"
    with pytest.raises(ExportError, match=rule):
        scoring.run(task)
    assert scoring_jobs.parts(task) == []
    assert scoring.run(dataclasses.replace(task, native="off"))["rows"] == 100


def test_an_export_without_marks_computes_by_itself(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, kernel: library.Library
) -> None:
    export = changed(exports["numbers"], tmp_path, without_marks)
    with contextlib.closing(SessionModel(export, native="auto")) as served:
        assert served.native_signatures == set()
        assert served.way.endswith(
            "the export has no marks for it: it is another model than TAFE, or older"
        )
        assert served({"user": [1], "item": [2]})["ctr"].shape == (1,)
    with pytest.raises(
        ValueError, match=f"^{export}: --native=on: .*: the export has no marks for it"
    ):
        SessionModel(export, native="on")


def test_without_a_kernel_the_model_computes_by_itself(
    exports: dict[str, pathlib.Path], without_kernel: None
) -> None:
    with contextlib.closing(SessionModel(exports["numbers"], native="auto")) as served:
        assert served.way.endswith("not used: it was not built: `tafe native` does that")
        assert served.native_signatures == set()
    rule = "--native=on: the kernel cannot be used: it was not built: `tafe native` does that$"
    with pytest.raises(ValueError, match=rule):
        SessionModel(exports["numbers"], native="on")


@pytest.mark.slow
def test_no_export_holds_an_operation_of_the_kernel(
    exports: dict[str, pathlib.Path], kernel: library.Library
) -> None:
    graph = operations.read_graph(exports["shop"]).meta_graphs[0].graph_def
    held = {node.op for node in graph.node}
    for function in graph.library.function:
        held |= {node.op for node in function.node_def}
    assert not [name for name in held if name.startswith("Tafe")]
    assert {"Identity", "IdentityN", "Softmax"} <= held  # the marks and the layers


def test_an_export_with_an_operation_of_the_kernel_is_refused(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, kernel: library.Library
) -> None:
    def with_score(nodes: dict[str, node_def_pb2.NodeDef]) -> None:
        nodes[SCOPE + GAMMA].op = "TafeScore"

    export = changed(exports["numbers"], tmp_path, with_score)
    with pytest.raises(ExportError, match=f"operation {SCOPE}{GAMMA} is a TafeScore"):
        operations.check(export)
    operations.check(changed(exports["numbers"], tmp_path / "as it was", lambda nodes: None))
    assert SCOPE + H in marked_nodes(operations.read_graph(exports["numbers"]))
