"""Exports a trained run as a SavedModel for TensorFlow Serving.

    python -m export.saved_model --run_dir=DIR --export_dir=DIR [--version=N]

Signatures, all from raw feature columns: `serving_default` gives every output; `ctr`, `cvr` and `ctcvr` (in a
longer funnel `p_<task>` and `p_<task>_given_<previous>`) give one each.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import app, flags, logging

from export.check import ExportError, check
from tafe_tf.features import Features
from tafe_tf.flags import RUN_DIR, required
from tafe_tf.outputs import probabilities
from tafe_tf.run_dir import RunDir, RunError

flags.declare_key_flag("run_dir")
_EXPORT_DIR = flags.DEFINE_string("export_dir", "", "Where versions are published.")
_VERSION = flags.DEFINE_integer("version", 0, "The version's number; by default the time in seconds.", lower_bound=0)

Signature = Callable[[Mapping[str, tf.Tensor]], dict[str, Any]]


def export(run: RunDir, export_dir: str | pathlib.Path, version: int) -> pathlib.Path:
    """Writes, checks and then publishes one version, by a rename.

    Args:
        run: the trained run.
        export_dir: where versions lie.
        version: the new one's number.

    Returns:
        `<export_dir>/<version>`.

    Raises:
        ExportError: if the version exists, or the export does not answer as the trained model does.
        RunError: if the run holds no trained model.
    """
    target = pathlib.Path(export_dir) / str(version)
    if target.exists():
        raise ExportError(f"{target}: exists; give another --version")
    model, features = run.load_best(), run.features()
    beside = target.with_name(f".{version}.{os.getpid()}.tmp")  # TensorFlow Serving reads numbered names only
    try:
        write(beside, model, features)
        shutil.copyfile(run.path / "schema.toml", beside / "assets.extra" / "schema.toml")
        difference = check(beside, tf.function(serving_function(model, features)), features, run.path)
        os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    print(f"{target}: every signature equals the trained model within {difference:.1g}, through the session loader")
    return target


def serving_function(model: keras.Model, features: Features) -> Signature:
    """Raw columns -> all named probabilities."""

    def serve(columns: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        return probabilities(model(features(columns), training=False), features.schema)

    return serve


def write(path: pathlib.Path, model: keras.Model, features: Features) -> None:
    """Writes the SavedModel with all signatures to `path`, unchecked."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(features)  # its lookup tables and their vocabularies
    serve = serving_function(model, features)
    archive.add_endpoint("serving_default", serve, input_signature=[features.signature])
    for name in (*features.schema.step_names, *features.schema.conditional_names):
        archive.add_endpoint(name, _only(serve, name), input_signature=[features.signature])
    archive.write_out(str(path), verbose=False)
    (path / "assets.extra").mkdir()


def _only(serve: Signature, name: str) -> Signature:
    def serve_one(columns: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        return {name: serve(columns)[name]}

    return serve_one


def main(argv: list[str]) -> None:
    """Runs the export; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)  # TensorFlow notes every file
    try:
        required(run_dir=RUN_DIR.value, export_dir=_EXPORT_DIR.value)
        export(RunDir(RUN_DIR.value), _EXPORT_DIR.value, _VERSION.value or int(time.time()))
    except (ExportError, OSError, RunError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
