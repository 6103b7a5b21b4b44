"""The signatures of a SavedModel by the native kernel, beside those by its own operations.

An export marks where its layers begin and end (`export.kernel_marks`). In the graph of a session,
in memory, every function with such marks gets a twin in which one operation of the kernel stands
for the layers, and every signature that calls it a twin that calls the twin. Both share tables and
variables, and the export stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2

SCOPE = "native/"
# Names of the marks in that scope.
H = "h"  # the embeddings, [B, F, d]
GAMMA = "gamma"  # the width of the smooth step, a scalar
WEIGHTS = "weights"  # the weights of blocks and adapters, in the kernel's order
SIZES = "sizes"  # the operation's sizes, as JSON
T = "t"  # the tasks' representations, [B, N, d]

Signatures = dict[str, meta_graph_pb2.SignatureDef]
_Functions = Mapping[str, function_pb2.FunctionDef]


def add_kernel(
    graph: tf.Graph,
    meta_graph: meta_graph_pb2.MetaGraphDef,
    threads: int,
) -> Signatures:
    """Adds to a loaded SavedModel's graph what computes by the kernel, which must be loaded.

    Args:
        graph: The session's graph, into which the SavedModel was loaded.
        meta_graph: What was loaded.
        threads: Number of threads that share the rows of a call.

    Returns:
        The signatures that compute by the kernel; none if the graph has no marks.
    """
    functions = {each.signature.name: each for each in meta_graph.graph_def.library.function}
    renamed = {name: f"{name}__native" for name in _reaching_marks(functions)}
    addition = graph_pb2.GraphDef(versions=meta_graph.graph_def.versions)
    for name, twin in renamed.items():
        function = addition.library.function.add()
        function.CopyFrom(functions[name])
        function.signature.name = twin
        _call_twins(function.node_def, renamed)
        if _is_marked(function):
            _use_kernel(function, threads)
    outside: dict[str, tf.Tensor] = {}  # what the twins read of the graph that is there
    for node in meta_graph.graph_def.node:
        if _called(node) & set(renamed):
            addition.node.add().CopyFrom(node)
            for name in node.input:
                operation, _, number = name.partition(":")
                outside[name] = graph.get_tensor_by_name(f"{operation}:{number or 0}")
    _call_twins(addition.node, renamed)
    with graph.as_default():
        tf.graph_util.import_graph_def(addition, input_map=outside, name=SCOPE.rstrip("/"))
    return _signatures(meta_graph, {node.name for node in addition.node})


def _signatures(meta_graph: meta_graph_pb2.MetaGraphDef, twins: set[str]) -> Signatures:
    """The signatures of which every output is one of a call that has a twin."""
    found: Signatures = {}
    for name, signature in meta_graph.signature_def.items():
        outputs = signature.outputs.values()
        if signature.inputs and all(it.name.partition(":")[0] in twins for it in outputs):
            found[name] = meta_graph_pb2.SignatureDef()
            found[name].CopyFrom(signature)
            for output in found[name].outputs.values():
                output.name = f"{SCOPE}{output.name}"
    return found


def _reaching_marks(functions: _Functions) -> list[str]:
    """The names of the functions that hold marks, or call one that does."""
    reaching = {name for name, function in functions.items() if _is_marked(function)}
    size = -1
    while len(reaching) > size:
        size = len(reaching)
        for name, function in functions.items():
            if any(_called(node) & reaching for node in function.node_def):
                reaching.add(name)
    return sorted(reaching)


def _is_marked(function: function_pb2.FunctionDef) -> bool:
    return any(node.name == SCOPE + T for node in function.node_def)


def _called(node: node_def_pb2.NodeDef) -> set[str]:
    """The names of the functions that an operation calls."""
    names = set()
    for value in node.attr.values():
        names |= {value.func.name, *(function.name for function in value.list.func)}
    return names - {""}


def _call_twins(nodes: Iterable[node_def_pb2.NodeDef], renamed: Mapping[str, str]) -> None:
    for node in nodes:
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in renamed:
                    function.name = renamed[function.name]


def _use_kernel(function: function_pb2.FunctionDef, threads: int) -> None:
    """Lets one operation of the kernel compute T from H in a function with marks."""
    nodes = {node.name: node for node in function.node_def}
    flat = []
    for name in nodes[SCOPE + WEIGHTS].input:
        constant = nodes[name.partition(":")[0]]
        flat.append(tf.make_ndarray(constant.attr["value"].tensor).ravel())
    weights = function.node_def.add(name=f"{SCOPE}flat", op="Const")
    weights.attr["dtype"].type = tf.float32.as_datatype_enum
    weights.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.concatenate(flat)))
    score = function.node_def.add(name=f"{SCOPE}score", op="TafeScore")
    score.input.extend(f"{SCOPE}{name}:output:0" for name in (H, GAMMA, "flat"))
    sizes = tf.make_ndarray(nodes[SCOPE + SIZES].attr["value"].tensor).item()
    for name, size in {**json.loads(sizes), "threads": threads}.items():
        if isinstance(size, float):
            score.attr[name].f = size
        else:
            score.attr[name].i = size
    nodes[SCOPE + T].input[0] = f"{SCOPE}score:t:0"
