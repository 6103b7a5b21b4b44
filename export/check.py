"""What an export must show before it counts: the session loader's answers are the trained model's."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from export.session import SessionModel
from tafe_tf.features import Features, vocabulary_file
from tafe_tf.schema import ABSENT, Feature, Schema

TOLERANCE = 1e-6
SIZES = (1, 7, 100)
FORBIDDEN_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}

Columns = dict[str, np.ndarray]


class ExportError(RuntimeError):
    """An export does not do what the trained model does; nothing was published."""


def probe_rows(schema: Schema, directory: str | pathlib.Path, size: int, seed: int = 0) -> Columns:
    """Raw rows that reach known, unseen, missing and extreme values of every field.

    Args:
        schema: the dataset.
        directory: holds the vocabularies.
        size: B.
        seed: of the draw.

    Returns:
        Columns as the served model takes them, [B], or [B, max_length + 1] for lists.
    """
    rng = np.random.default_rng([seed, size])
    columns: Columns = {}
    for feature in schema.features:
        shape = (size, feature.max_length + 1) if feature.max_length else (size,)
        values = _values(feature, directory)
        columns[feature.column] = values[rng.integers(len(values), size=shape)]
        if feature.weights:
            columns[feature.weights] = rng.normal(size=shape).astype(np.float32)
    return columns


def _values(feature: Feature, directory: str | pathlib.Path) -> np.ndarray:
    dtype = {"string": object, "int64": np.int64, "float32": np.float32}[feature.raw_dtype]
    if feature.kind == "log_round":
        limit = np.finfo(np.float32).max
        return np.array([np.nan, 0.0, -0.0, 1.0, -1.0, 12.5, -3e4, limit, -limit, np.inf], dtype)
    numbers = [0, 1, 2, 17, 2**63 - 1, -(2**63)]
    values = [str(number) for number in numbers] + ["é", "a b"] if feature.raw_dtype == "string" else numbers
    if feature.kind == "vocabulary":
        with open(vocabulary_file(directory, feature), encoding="utf-8", newline="\n") as file:
            known = [line.rstrip("\n") for line, _ in zip(file, range(50), strict=False)]
        values = [*known, *values] if feature.raw_dtype == "string" else [*map(int, known), *numbers]
    return np.array([ABSENT[feature.raw_dtype], *values], dtype)


def check(
    path: str | pathlib.Path,
    trained: Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]],
    features: Features,
    directory: str | pathlib.Path,
) -> float:
    """Compares every signature, through the session loader, with the trained model on probe rows.

    Args:
        path: the SavedModel.
        trained: raw columns -> named probabilities, in Python.
        features: the run's feature graph.
        directory: holds the vocabularies.

    Returns:
        The largest difference seen.

    Raises:
        ExportError: if an output differs by more than `TOLERANCE`, a signature lacks a name or has a fixed batch
            dimension, or the graph needs Python or XLA at serving time.
    """
    served = SessionModel(path)
    try:
        _check_graph(served)
        return max(_compare(served, trained, probe_rows(features.schema, directory, size)) for size in SIZES)
    finally:
        served.close()


def _check_graph(served: SessionModel) -> None:
    definition = served.graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    for node in nodes:
        if node.op in FORBIDDEN_OPS:
            raise ExportError(f"operation {node.name} is a {node.op}, which runs in Python only")
        if node.attr["_XlaMustCompile"].b:
            raise ExportError(f"operation {node.name} must be compiled by XLA, which TensorFlow Serving refuses")
    for function in definition.library.function:
        if function.attr["_XlaMustCompile"].b:
            raise ExportError(f"function {function.signature.name} must be compiled by XLA")
    for name, signature in served.signatures.items():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if not sizes or sizes[0] != -1:
                raise ExportError(f"signature {name}: dimension 0 of {tensor.name} is not the batch: {sizes}")


def _compare(served: SessionModel, trained: Callable[..., Mapping[str, tf.Tensor]], columns: Columns) -> float:
    expected = {name: p.numpy() for name, p in trained({k: tf.constant(v) for k, v in columns.items()}).items()}
    missing = {"serving_default", *expected} - set(served.signatures)
    if missing:
        raise ExportError(f"signatures are missing: {sorted(missing)}")
    worst = 0.0
    for name in served.signatures:
        outputs = served(columns, name)
        for output, values in outputs.items():
            difference = float(np.max(np.abs(values - expected[output])))
            if not difference <= TOLERANCE:  # also catches NaN
                raise ExportError(
                    f"signature {name}, output {output}: differs from the trained model by {difference:.3g}, "
                    f"more than {TOLERANCE:g}, at {len(values)} rows"
                )
            worst = max(worst, difference)
    return worst
