"""Exports a trained run as a SavedModel for TensorFlow Serving.

    python -m export.saved_model --run_dir=DIR --export_dir=DIR [--version=N]

A run that was warm-started is published only if it is not worse than the one before it, by the margins of
`export.succession`, or with --publish_worse.

`export.signatures` tells what the SavedModel can be asked, `export.check` what it must show before it is published.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from tensorflow.core.protobuf import fingerprint_pb2

from tafe_tf.data.errors import DataError
from tafe_tf.export import calibration, held_out_rows, model_card, table_storage, warmup
from tafe_tf.export.check import ExportError, check
from tafe_tf.export.publish_terms import Terms
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import Rows
from tafe_tf.export.signatures import Signatures
from tafe_tf.export.table_storage import StoredTable
from tafe_tf.features.graph import Features
from tafe_tf.flags import RUN_DIR, required
from tafe_tf.probabilities import probabilities
from tafe_tf.training.run_dir import RunDir, RunError

flags.declare_key_flag("run_dir")
# Halves of a request run side by side where an operation has one thread (--tensorflow_intra_op_parallelism=1): 100 rows
# take 0.6 of the time on two cores, one row what it took. Four pieces make one row wait for the empty ones.
_PIECES = 2
_EXPORT_DIR = flags.DEFINE_string("export_dir", "", "Where versions are published.")
_VERSION = flags.DEFINE_integer(
    "version", 0, "The version's number; by default the time in seconds.", lower_bound=0
)
_CALIBRATION = flags.DEFINE_enum(
    "calibration",
    "none",
    ["none", *calibration.KINDS],
    "Fitted on the held-out rows, for each step of the funnel.",
)
_STORAGE = flags.DEFINE_enum(
    "embedding_storage",
    "float32",
    table_storage.STORAGES,
    "How embedding tables are stored: float32 is as they were trained, and what the others cost is printed.",
)
_TERMS = Terms()
_PREVIOUS = flags.DEFINE_string(
    "previous",
    "",
    "The run of the previous model; by default the one that --run_dir was warm-started from, if any.",
)
_MAX_AUC_LOSS = flags.DEFINE_float(
    "max_auc_loss",
    _TERMS.max_auc_loss,
    "Publish nothing if a step's AUC on the test rows is lower than the previous model's by more than this.",
    lower_bound=0.0,
)
_MAX_LOG_LOSS_RISE = flags.DEFINE_float(
    "max_log_loss_rise",
    _TERMS.max_log_loss_rise,
    "Or if a step's log loss is larger by more than this share of it.",
    lower_bound=0.0,
)
_PUBLISH_WORSE = flags.DEFINE_bool("publish_worse", False, "Publish it all the same.")


def export(
    run: RunDir,
    export_dir: str | pathlib.Path,
    version: int,
    *,
    calibrate: calibration.Kind | None = None,
    stored: table_storage.Storage = "float32",
    terms: Terms = _TERMS,
) -> pathlib.Path:
    """Writes, checks and then publishes one version, by a rename.

    Args:
        run: the trained run, whose held-out rows must still be where it found them.
        export_dir: where versions lie.
        version: the new one's number.
        calibrate: kind of the calibration, if any.
        stored: how embedding tables are stored.
        terms: on which it may follow the previous model, if there is one.

    Returns:
        `<export_dir>/<version>`.

    Raises:
        ExportError: if the version exists, the model is worse than the previous one, or the export does not pass the
            gate.
        CalibrationError: if the held-out rows cannot calibrate.
        RunError: if the run holds no trained model, or its held-out rows are gone.
    """
    target = pathlib.Path(export_dir) / str(version)
    if target.exists():
        raise ExportError(f"{target}: exists; give another --version")
    model, features = run.load_best(), run.features()
    model.pieces = _PIECES
    rows = held_out_rows.sample(run, max(warmup.SIZES))
    tables = table_storage.store(model, stored)
    curves = (
        None
        if calibrate is None
        else calibration.fit(calibrate, *held_out_rows.predictions(run, model, features))
    )
    succession = terms.judge(run, lambda inputs, training: _logits(model, inputs, curves))
    signatures = Signatures(model, features, curves)
    beside = target.with_name(
        f".{version}.{os.getpid()}.tmp"
    )  # TensorFlow Serving reads numbered names only
    try:
        write(beside, signatures, features, tables)
        (beside / "assets.extra").mkdir()
        shutil.copyfile(run.path / "schema.toml", beside / "assets.extra" / "schema.toml")
        served = SessionModel(beside)
        warmup.write(served, features.schema, rows)
        described = "none" if curves is None else curves.describe()
        model_card.write(
            served,
            run,
            embedding_storage=tables[0].storage,
            calibration=described,
            previous=succession,
        )
        served.close()
        found = check(beside, in_python(model, features, curves))
        os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    print("\n".join([str(target), *(f"  {line}" for line in found)]))
    if calibrate is not None or stored != "float32":
        held_out_rows.show_cost(run, lambda inputs, training: _logits(model, inputs, curves))
    return target


def write(
    path: pathlib.Path, signatures: Signatures, features: Features, tables: list[StoredTable]
) -> None:
    """Writes the SavedModel with all signatures to `path`, unchecked."""
    archive = keras.export.ExportArchive()
    archive.track(features)  # its lookup tables and their vocabularies
    for table in tables:
        archive.track(table)
    for name, (function, inputs) in signatures.functions().items():
        archive.add_endpoint(name, function, input_signature=inputs)
    archive.write_out(str(path), verbose=False)
    _name_by_content(path / "fingerprint.pb")


def _name_by_content(path: pathlib.Path) -> None:
    """Replaces the random identity in a fingerprint: two exports of one run are then the same to the byte."""
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    fingerprint.uuid = str(
        uuid.uuid5(uuid.NAMESPACE_OID, fingerprint.SerializeToString(deterministic=True).hex())
    )
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def in_python(
    model: keras.Model, features: Features, curves: calibration.Calibration | None
) -> Callable[[Rows], dict[str, np.ndarray]]:
    """The model without any of `Signatures`, to compare with: raw columns -> outputs."""

    @tf.function
    def serve(columns: dict[str, tf.Tensor]) -> dict[str, Any]:
        return probabilities(_logits(model, features(columns), curves), features.schema)

    def run(rows: Rows) -> dict[str, np.ndarray]:
        return {
            name: p.numpy()
            for name, p in serve({k: tf.constant(v) for k, v in rows.items()}).items()
        }

    return run


def _logits(model: keras.Model, inputs: Any, curves: calibration.Calibration | None) -> Any:
    logits = model(inputs, training=False)
    return logits if curves is None else curves(logits)


def main(argv: list[str]) -> None:
    """Runs the export; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)  # TensorFlow notes every file
    try:
        required(run_dir=RUN_DIR.value, export_dir=_EXPORT_DIR.value)
        kind = None if _CALIBRATION.value == "none" else _CALIBRATION.value
        version = _VERSION.value or int(time.time())
        terms = Terms(
            previous=RunDir(_PREVIOUS.value) if _PREVIOUS.value else None,
            max_auc_loss=_MAX_AUC_LOSS.value,
            max_log_loss_rise=_MAX_LOG_LOSS_RISE.value,
            publish_worse=_PUBLISH_WORSE.value,
        )
        run = RunDir(RUN_DIR.value)
        export(run, _EXPORT_DIR.value, version, calibrate=kind, stored=_STORAGE.value, terms=terms)
    except (calibration.CalibrationError, DataError, ExportError, OSError, RunError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
