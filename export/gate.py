"""The gate: what an export must show before it is published.

    python -m export.check DIR       # a version, or the directory of versions: then the highest

Everything runs through the session loader, the path that TensorFlow Serving takes.
"""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from absl import app

from tafe_tf import schema
from tafe_tf.export import warmup
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel, latest
from tafe_tf.export.signature_inputs import Rows, requests, tiled
from tafe_tf.schema import ABSENT, Feature, Schema

TOLERANCE = 1e-5  # between two kernels in float32: logits differ by 3e-6, a quotient or a calibration doubles that
SIZES = (1, 7, 1000)
_EXTREME = [
    np.nan,
    np.inf,
    -np.inf,
    float(np.finfo(np.float32).max),
    float(np.finfo(np.float32).min),
]
FORBIDDEN_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}

Outputs = Mapping[str, np.ndarray]


class ExportError(RuntimeError):
    """An export does not do what it must; nothing was published."""


def check(path: str | pathlib.Path, trained: Callable[[Rows], Outputs] | None = None) -> list[str]:
    """Checks a SavedModel.

    Args:
        path: the SavedModel, with its schema in `assets.extra/schema.toml`.
        trained: the model in Python, raw columns -> named probabilities, to compare with.

    Returns:
        What was found, a line each.

    Raises:
        ExportError: at the first thing that is not as it must be.
    """
    path = pathlib.Path(path)
    dataset = schema.load(path / "assets.extra" / "schema.toml")
    try:
        served = SessionModel(path)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{path}: the session loader cannot load it: {error}") from None
    try:
        _check_graph(served, dataset)
        found = [f"{len(served.signatures)} signatures, no operation that TensorFlow Serving lacks"]
        probes = [probe_rows(dataset, path / "assets", size) for size in SIZES]
        worst = max(_check_signatures(served, dataset, rows) for rows in probes)
        found.append(
            f"signatures agree within {worst:.1g} at B = {', '.join(map(str, SIZES))}; probabilities add up"
        )
        worst = _check_batches(served, dataset, probes[-1])
        found.append(f"neither other rows nor padding change a row by more than {worst:.1g}")
        found.append(f"{_check_warmup(served)} warm-up requests answered")
        if trained is not None:
            worst = max(
                _compare(served(rows), trained(rows), "the trained model") for rows in probes
            )
            found.append(f"equals the trained model within {worst:.1g}")
        return found
    finally:
        served.close()


def probe_rows(
    dataset: Schema, vocabularies: str | pathlib.Path, size: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Raw rows that reach known, unseen, missing and extreme values of every field.

    Args:
        dataset: the schema.
        vocabularies: holds `<feature>.txt`, as the assets of an export do.
        size: B.
        seed: of the draw.

    Returns:
        Columns as the served model takes them, [B], or [B, max_length + 1] for lists. The last row is missing
        altogether.
    """
    rng = np.random.default_rng([seed, size])
    columns: dict[str, np.ndarray] = {}
    for feature in dataset.features:
        shape = (size, feature.max_length + 1) if feature.max_length else (size,)
        values = _values(feature, pathlib.Path(vocabularies))
        columns[feature.column] = values[rng.integers(len(values), size=shape)]
        columns[feature.column][-1] = ABSENT[feature.raw_dtype]
        if feature.weights:
            weights = np.where(
                rng.random(shape) < 0.1, rng.choice(_EXTREME, shape), rng.normal(size=shape)
            )
            columns[feature.weights] = weights.astype(np.float32)
    return columns


def _values(feature: Feature, vocabularies: pathlib.Path) -> np.ndarray:
    dtype = {"string": object, "int64": np.int64, "float32": np.float32}[feature.raw_dtype]
    if feature.kind == "log_round":
        return np.array([0.0, -0.0, 1.0, -1.0, 12.5, -3e4, *_EXTREME], dtype)
    numbers = [0, 1, 2, 17, 2**63 - 1, -(2**63)]
    is_text = feature.raw_dtype == "string"
    values = [*map(str, numbers), "é", "a b", "x" * 10_000] if is_text else numbers
    path = vocabularies / f"{feature.name}.txt"
    if feature.kind == "vocabulary" and path.exists():  # an empty vocabulary is no asset
        with open(path, encoding="utf-8", newline="\n") as file:
            known = [line.rstrip("\n") for line in itertools.islice(file, 50)]
        values = [*known, *values] if is_text else [*map(int, known), *numbers]
    return np.array([ABSENT[feature.raw_dtype], *values], dtype)


def _check_graph(served: SessionModel, dataset: Schema) -> None:
    definition = served.graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for function in definition.library.function for node in function.node_def),
    ]
    for node in nodes:
        if node.op in FORBIDDEN_OPS:
            raise ExportError(f"operation {node.name} is a {node.op}, which runs in Python only")
        if node.attr["_XlaMustCompile"].b:
            raise ExportError(
                f"operation {node.name} must be compiled by XLA, which TensorFlow Serving refuses"
            )
    for function in definition.library.function:
        if function.attr["_XlaMustCompile"].b:
            raise ExportError(f"function {function.signature.name} must be compiled by XLA")
    for name, signature in served.signatures.items():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if not sizes or sizes[0] != -1:
                raise ExportError(
                    f"signature {name}: dimension 0 of {tensor.name} is not the batch: {sizes}"
                )

    names = {DEFAULT_SIGNATURE, "examples", *dataset.step_names, *dataset.conditional_names}
    if names - set(served.signatures):
        raise ExportError(
            f"signatures are missing: {', '.join(sorted(names - set(served.signatures)))}"
        )


def _check_signatures(served: SessionModel, dataset: Schema, rows: Rows) -> float:
    """All signatures against `serving_default`, and that against the rules of probabilities."""
    expected = served(rows)
    _check_funnel(expected, dataset)
    expected_rank = served(tiled(dataset, rows))
    worst = 0.0
    for name, inputs in requests(dataset, rows, served.signatures):
        outputs = served(inputs, name)
        reference = expected_rank if name == "rank" else expected
        worst = max(worst, _compare(outputs, reference, f"signature {name}"))
    return worst


def _check_funnel(outputs: Outputs, dataset: Schema) -> None:
    for name, values in outputs.items():
        if not np.all((values >= 0.0) & (values <= 1.0)):  # also catches NaN
            wrong = values[~((values >= 0.0) & (values <= 1.0))][0]
            raise ExportError(f"output {name}: must be a probability. Received: {wrong}")
    for earlier, later in itertools.pairwise(dataset.step_names):
        if np.any(outputs[later] > outputs[earlier]):
            raise ExportError(f"output {later} must not be above {earlier}, by which it is reached")


def _check_batches(served: SessionModel, dataset: Schema, rows: Rows) -> float:
    """Scoring commutes with concatenation, and padding moves no row."""
    whole, n = served(rows), len(next(iter(rows.values())))
    cuts = [0, 1, 8, n // 2, n]
    parts = [
        served({name: x[a:b] for name, x in rows.items()}) for a, b in itertools.pairwise(cuts)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    worst = _compare(joined, whole, "scoring in several batches")
    none = served({name: x[:0] for name, x in rows.items()})
    if any(values.shape != (0,) for values in none.values()):
        raise ExportError("an empty batch must give empty outputs")
    padded = {
        c.name: np.pad(rows[c.name], ((0, 0), (0, 5)), constant_values=ABSENT[c.dtype])
        if c.max_length
        else rows[c.name]
        for c in dataset.inputs
    }
    return max(worst, _compare(served(padded), whole, "padding lists with missing values"))


def _check_warmup(served: SessionModel) -> int:
    try:
        return warmup.run(served)
    except (ValueError, tf.errors.OpError) as error:
        raise ExportError(f"warm-up: {error}") from None


def _compare(outputs: Outputs, expected: Outputs, what: str) -> float:
    """The largest difference; ExportError where it is above TOLERANCE."""
    worst = 0.0
    for name, values in outputs.items():
        if values.shape != np.shape(expected[name]):
            raise ExportError(
                f"{what}, output {name}: has shape {values.shape} for {np.shape(expected[name])}"
            )
        difference = float(np.max(np.abs(values - expected[name]), initial=0.0))
        if not difference <= TOLERANCE:  # also catches NaN
            raise ExportError(
                f"{what}, output {name}: differs by {difference:.3g}, more than {TOLERANCE:g}, at {len(values)} rows"
            )
        worst = max(worst, difference)
    return worst


def main(argv: list[str]) -> None:
    """Prints what was found; what is wrong ends it with one line and exit code 1."""
    if len(argv) != 2:
        raise app.UsageError("give one directory")
    try:
        path = pathlib.Path(argv[1])
        path = path if (path / "saved_model.pb").exists() else latest(path)
        found = check(path)
    except (ExportError, OSError, schema.SchemaError) as error:
        sys.exit(f"error: {error}")
    print("\n".join([f"{path}: may be served", *(f"  {line}" for line in found)]))


if __name__ == "__main__":
    app.run(main)
