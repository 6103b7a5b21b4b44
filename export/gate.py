"""The gate: what an export must show before it is published.

Everything runs through the session loader, the path that TensorFlow Serving takes.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tafe_tf import schema_toml
from tafe_tf.data.errors import DataError
from tafe_tf.data.field_counts import training_shares
from tafe_tf.export import description, field_shares, manifest, operations, warmup
from tafe_tf.export.differences import largest_difference, tolerance_of
from tafe_tf.export.errors import ExportError
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.export.signature_inputs import Rows, by_input, signature_inputs, tiled
from tafe_tf.export.versions import SCHEMA_FILE
from tafe_tf.schema import ABSENT, RANK_SCORE, RANKS, SCORE, Schema, is_probability
from tafe_tf.storage.staging import stage

# Between two float32 kernels: logits differ by 3e-6, which a quotient or a calibration doubles.
TOLERANCE = 1e-5
SIZES = (1, 7, 1000)

Outputs = Mapping[str, np.ndarray]


def check(
    path: str | pathlib.Path,
    trained: Callable[[Rows], Outputs] | None = None,
) -> list[str]:
    """Checks a SavedModel: its files, graph, signatures, answers and warm-up requests.

    Args:
        path: The SavedModel's directory, with the schema in `assets.extra/schema.toml`.
        trained: The model in Python, a function from raw columns to named probabilities, which the
            SavedModel must equal. With None, the default, the SavedModel is compared with itself
            only.

    Returns:
        What was found, a line each.

    Raises:
        ExportError: At the first thing that is not as it must be.

    Example:
        check("models/shop/1")  # ['6 signatures, no operation but computations', ...]
    """
    path = stage(path)
    compared = _check_files(path)
    operations.check(path)
    dataset = schema_toml.load(path / SCHEMA_FILE)
    try:
        served = SessionModel(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ExportError(f"{path}: the session loader cannot load it: {error}") from None
    with contextlib.closing(served):
        _check_signature_shapes(served)
        _check_signature_names(served, dataset)
        probes = [probe_rows(dataset, path / "assets", size) for size in SIZES]
        apart = max(_check_signatures(served, dataset, rows) for rows in probes)
        moved = _check_batches(served, dataset, probes[-1])
        field_shares.check(served, by_input(dataset, probes[-1]))
        requests = _check_warmup(served)
        sizes = ", ".join(str(size) for size in SIZES)
        found = [
            f"{len(served.signatures)} signatures, no operation but computations",
            f"signatures agree within {apart:.1g} at B = {sizes}; probabilities add up",
            f"neither other rows nor padding change a row by more than {moved:.1g}",
            f"{requests} warm-up requests answered",
            compared,
            *_shares(served),
        ]
        if trained is not None:
            differences = [
                _compare(served(by_input(dataset, rows)), trained(rows), "the trained model")
                for rows in probes
            ]
            found.append(f"equals the trained model within {max(differences):.1g}")
    return found


def _check_files(path: pathlib.Path) -> str:
    """Finds that all files are those that were published, before any of them is believed."""
    try:
        return manifest.check(path)
    except (DataError, OSError) as error:
        raise ExportError(str(error)) from None


def _check_signature_shapes(served: SessionModel) -> None:
    """Dimension 0 of every input and output must be free: it is the batch."""
    for name, signature in served.signatures.items():
        inputs = signature.inputs.values()
        outputs = signature.outputs.values()
        for tensor in (*inputs, *outputs):
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            if not sizes or sizes[0] != -1:
                raise ExportError(
                    f"signature {name}: dimension 0 of {tensor.name} is not the batch: {sizes}"
                )


def _check_signature_names(served: SessionModel, dataset: Schema) -> None:
    """Every output must have its signature, beside `serving_default` and `examples`."""
    wanted = {DEFAULT_SIGNATURE, "examples", *dataset.output_names}
    if dataset.score is not None:
        wanted.add(SCORE)
    missing = sorted(wanted - set(served.signatures))
    if missing:
        raise ExportError(f"signatures are missing: {', '.join(missing)}")


def _check_signatures(
    served: SessionModel,
    dataset: Schema,
    rows: Rows,
) -> float:
    """Compares all signatures with `serving_default`, and that with the rules of probabilities.

    Returns:
        The largest difference.
    """
    expected = served(by_input(dataset, rows))
    _check_funnel(expected, dataset)
    expected_rank = served(by_input(dataset, tiled(dataset, rows)))
    worst = 0.0
    scoring = set(served.signatures) - {description.SIGNATURE, description.FIELDS_SIGNATURE}
    for name, inputs in signature_inputs(dataset, rows, scoring):
        outputs = served(inputs, name)
        reference = expected_rank if name in RANKS else expected
        if dataset.score is not None and name in (SCORE, RANK_SCORE):
            wide = {key: np.asarray(values, np.float64) for key, values in reference.items()}
            reference = {SCORE: dataset.score({**inputs, **wide})}
        difference = _compare(outputs, reference, f"signature {name}")
        worst = max(worst, difference)
    return worst


def _check_funnel(outputs: Outputs, dataset: Schema) -> None:
    """Outputs must be probabilities, and a step at most as likely as the step before it.

    An amount must be a finite number, 0 or more.
    """
    for name, values in outputs.items():
        if not is_probability(name):
            is_amount = np.isfinite(values) & (values >= 0.0)
            if not np.all(is_amount):
                wrong = values[~is_amount][0]
                raise ExportError(f"output {name}: must be an amount. Received: {wrong}")
            continue
        is_within = (values >= 0.0) & (values <= 1.0)  # false for NaN
        if not np.all(is_within):
            wrong = values[~is_within][0]
            raise ExportError(f"output {name}: must be a probability. Received: {wrong}")
    for earlier, later in itertools.pairwise(dataset.step_names):
        if np.any(outputs[later] > outputs[earlier]):
            raise ExportError(f"output {later} must not be above {earlier}, by which it is reached")


def _check_batches(
    served: SessionModel,
    dataset: Schema,
    rows: Rows,
) -> float:
    """Scores rows in several batches, none, and padded: no row's score may depend on it.

    Returns:
        The largest difference.
    """
    whole = served(by_input(dataset, rows))
    count = len(next(iter(rows.values())))
    cuts = [0, 1, 8, count // 2, count]
    parts = []
    for start, end in itertools.pairwise(cuts):
        part = _cut(rows, start, end)
        parts.append(served(by_input(dataset, part)))
    joined = {}
    for name in whole:
        joined[name] = np.concatenate([part[name] for part in parts])
    worst = _compare(joined, whole, "scoring in several batches")
    empty = served(by_input(dataset, _cut(rows, 0, 0)))
    if any(values.shape != (0,) for values in empty.values()):
        raise ExportError("an empty batch must give empty outputs")
    padded = served(by_input(dataset, _padded(rows, dataset)))
    return max(worst, _compare(padded, whole, "padding lists with missing values"))


def _cut(
    rows: Rows,
    start: int,
    end: int,
) -> dict[str, np.ndarray]:
    return {name: values[start:end] for name, values in rows.items()}


def _padded(rows: Rows, dataset: Schema) -> dict[str, np.ndarray]:
    """The same rows, with five missing values at the end of each list of any length."""
    padded = {}
    for column in dataset.served_inputs:
        values = rows[column.name]
        if column.max_length and not column.is_exact:
            absent = ABSENT[column.dtype]
            added = ((0, 0), (0, 5))
            values = np.pad(values, added, constant_values=absent)
        padded[column.name] = values
    return padded


def _check_warmup(served: SessionModel) -> int:
    """The number of warm-up requests, all of which must be answered."""
    try:
        return warmup.run(served)
    except (ValueError, tf.errors.OpError) as error:
        raise ExportError(f"warm-up: {error}") from None


def _shares(served: SessionModel) -> list[str]:
    """What the warm-up rows, which training did not see, say of the fields' values."""
    counts = field_shares.warmup_counts(served)
    described = description.ask(served)
    if counts is None or described is None:
        return ["does not tell which values are unseen: exported before it could"]
    training = training_shares(described)
    if not any(training.values()):
        return ["the shares of missing and of unseen values in training are not known"]
    jumps = counts.jumps(training)
    if jumps:
        return [f"warning, of the warm-up rows: {jump}" for jump in jumps]
    return ["no field of the warm-up rows has far more missing or unseen values than training"]


def _compare(
    outputs: Outputs,
    expected: Outputs,
    what: str,
) -> float:
    """The largest difference between outputs.

    Raises:
        ExportError: If it is above the output's tolerance, or shapes differ.
    """
    worst = 0.0
    for name, values in outputs.items():
        wanted = expected[name]
        if values.shape != np.shape(wanted):
            raise ExportError(
                f"{what}, output {name}: has shape {values.shape} for {np.shape(wanted)}"
            )
        difference = largest_difference(name, values, wanted)
        tolerance = tolerance_of(name, TOLERANCE)
        if not difference <= tolerance:  # true for NaN
            raise ExportError(
                f"{what}, output {name}: differs by {difference:.3g}, more than {tolerance:g}, "
                f"at {len(values)} rows"
            )
        worst = max(worst, difference)
    return worst
