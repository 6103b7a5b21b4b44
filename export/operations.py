"""The operations that an export may hold, looked at before anything of it is loaded.

A SavedModel is a program, and TensorFlow has operations that write files, call Python or open
connections; some would run as soon as the model is loaded. TensorFlow knows of each operation
whether it has an effect besides its outputs. Those that have one are refused unless they are in
`ALLOWED`. Those that have none are mathematics and are allowed, so that a model may compute what it
likes, except for the few in `REFUSED` that read a file or call out all the same.
"""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

from google.protobuf import message
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tafe_tf.export.errors import ExportError
from tafe_tf.export.versions import GRAPH

# With an effect: calls, tables of values, variables, assertions, and what restores variables.
ALLOWED = {
    *("StatefulPartitionedCall", "If", "While", "Case", "Assert"),
    *("HashTableV2", "LookupTableFindV2", "LookupTableImportV2", "LookupTableSizeV2"),
    *("InitializeTableFromTextFileV2", "InitializeTableV2", "LookupTableExportV2"),
    *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp"),
    *("ResourceGather", "ResourceGatherNd", "DisableCopyOnRead", "RestoreV2"),
}
# Without one that TensorFlow tells: they read files, write down tensors, or call other code. Those
# of the native kernel are known only where it is loaded.
REFUSED = re.compile(
    r"PyFuncStateless|ReadFile|MatchingFiles|ImmutableConst|GenerateVocabRemapping|DecodeProtoV2"
    r"|EncodeProto|Debug.*|.*Dataset.*|.*Iterator.*|Reader.*|Queue.*|Xla.*|Mlir.*|T[Pp][Uu].*|Tafe.*|_.*"
)
# A SavedModel holds operations that save it again. Nothing that is loaded or asked reaches them.
SAVERS = {"SaveV2", "MergeV2Checkpoints"}

_PIECES = "saved_model.cpb"  # the same in pieces, which TensorFlow prefers


def read_graph(path: str | pathlib.Path) -> saved_model_pb2.SavedModel:
    """Reads the graph and the signatures of a SavedModel without loading it.

    Args:
        path: The SavedModel's directory.

    Raises:
        ExportError: If the file is damaged, or there is none.
    """
    saved = saved_model_pb2.SavedModel()
    file = pathlib.Path(path) / GRAPH
    try:
        saved.ParseFromString(file.read_bytes())
    except message.DecodeError as error:
        raise ExportError(f"{path}: {GRAPH} is damaged: {error}") from None
    except OSError as error:
        raise ExportError(f"{path}: holds no SavedModel: {error}") from None
    return saved


def check(path: str | pathlib.Path) -> None:
    """Finds operations that an export must not hold.

    Args:
        path: The SavedModel's directory.

    Raises:
        ExportError: At the first one, which the message names, or if there is no SavedModel.
    """
    if (pathlib.Path(path) / _PIECES).exists():
        raise ExportError(f"{path}: {_PIECES} would be loaded in place of {GRAPH}; remove it")
    for meta_graph in read_graph(path).meta_graphs:
        graph = meta_graph.graph_def
        for node in _nodes(graph):
            _check_node(node)
        for function in graph.library.function:
            if function.attr["_XlaMustCompile"].b:
                raise ExportError(f"function {function.signature.name} must be compiled by XLA")
        for node in _reached(graph, _starts(meta_graph)):
            if node.op in SAVERS:
                raise ExportError(
                    f"operation {node.name} is a {node.op}, which writes a file when the model is "
                    "loaded or asked"
                )


def _check_node(node: node_def_pb2.NodeDef) -> None:
    if not _is_allowed(node.op):
        raise ExportError(
            f"operation {node.name} is a {node.op}, which is more than a computation: "
            "an export must not read or write files, call Python, or keep a state"
        )
    if node.attr["_XlaMustCompile"].b:
        raise ExportError(
            f"operation {node.name} must be compiled by XLA, which TensorFlow Serving refuses"
        )


def _is_allowed(operation: str) -> bool:
    if operation in ALLOWED or operation in SAVERS:
        return True
    known = op_def_registry.get(operation)
    is_computation = known is not None and not known.is_stateful
    return is_computation and not REFUSED.fullmatch(operation)


def _nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    """All operations of a graph, those inside its functions included."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _starts(meta_graph: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """The operations that are run: the outputs of signatures, and those that restore."""
    starts = {meta_graph.saver_def.restore_op_name}
    for signature in meta_graph.signature_def.values():
        starts.update(info.name for info in signature.outputs.values())
    for collection in meta_graph.collection_def.values():
        starts.update(collection.node_list.value)
    return starts


def _reached(
    graph: graph_pb2.GraphDef,
    starts: Iterable[str],
) -> Iterator[node_def_pb2.NodeDef]:
    """The operations on which some depend, those of the functions that they call included."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    left = [_operation_of(start) for start in starts]
    called: list[str] = []
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            yield nodes[name]
            left += [_operation_of(tensor) for tensor in nodes[name].input]
            called += _functions_of(nodes[name])
    while called:
        name = called.pop()
        if name in functions:
            body = functions.pop(name).node_def
            yield from body
            called += itertools.chain.from_iterable(map(_functions_of, body))


def _operation_of(tensor: str) -> str:
    """The operation that makes a tensor: "call" for "call:1" and for "^call"."""
    return tensor.removeprefix("^").partition(":")[0]


def _functions_of(node: node_def_pb2.NodeDef) -> list[str]:
    """The functions that an operation calls."""
    names = []
    for value in node.attr.values():
        names += [value.func.name, *(function.name for function in value.list.func)]
    return [name for name in names if name]
