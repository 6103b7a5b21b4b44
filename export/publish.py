"""The export as a function: a trained run becomes a checked and published version."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
import tensorflow as tf

from tafe_tf.data import atomic
from tafe_tf.data.lock import locked
from tafe_tf.export import (
    archive,
    calibration,
    held_out_rows,
    manifest,
    model_card,
    table_storage,
    warmup,
)
from tafe_tf.export.calibration import Calibration
from tafe_tf.export.description import describe
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.publish_terms import Terms
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import Rows
from tafe_tf.export.signatures import Signatures
from tafe_tf.export.table_storage import STORAGES, Storage
from tafe_tf.export.versions import (
    BUSY,
    GRAPH,
    PROFILE_FILE,
    SCHEMA_FILE,
    addresses,
    numbered,
)
from tafe_tf.features import profile
from tafe_tf.features.graph import Features
from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.storage import claims
from tafe_tf.storage.addresses import is_remote, join, note_copy
from tafe_tf.storage.sending import remove_tree
from tafe_tf.storage.staging import publish_tree
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.score_profile import ScoreProfile, write_scores

# The exported graph cuts a request into halves, which run side by side where an operation has one
# thread (--tensorflow_intra_op_parallelism=1): 100 rows take 0.6 of the time on two cores, and one
# row takes what it took. With four pieces one row would wait for the empty ones. TAFE has no second
# half for one row, see `export.serving_form`.
PIECES = 2

_STAGING = r"\.\d+(\.\d+)?\.tmp"  # a version in the making, and as earlier exports named theirs

CALIBRATIONS = ("none", *calibration.KINDS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a run is exported.

    Attributes:
        version: Number of the new version. The default, 0, means the time in seconds since 1970.
        calibration: Curve that calibrates each step on the held-out rows, "none", "platt" or
            "isotonic"; see `export.calibration.fit`. The default is "none".
        embedding_storage: Number format of the embedding tables, "float32", "float16" or "int8";
            see `export.table_storage.StoredTable`. The default, "float32", keeps them as they were
            trained.
        terms: How much worse than the previous model the new one may be. The default is `Terms()`.

    Raises:
        ValueError: If `version` is negative, or `calibration` or `embedding_storage` is unknown.
    """

    version: int = 0
    calibration: Literal["none", "platt", "isotonic"] = "none"
    embedding_storage: Storage = "float32"
    terms: Terms = dataclasses.field(default_factory=Terms)

    def __post_init__(self) -> None:
        if self.version < 0:
            raise ValueError(f"`version` must not be negative. Received: {self.version}")
        if self.calibration not in CALIBRATIONS:
            raise ValueError(
                f"`calibration` must be one of {CALIBRATIONS}. Received: {self.calibration!r}"
            )
        if self.embedding_storage not in STORAGES:
            raise ValueError(
                f"`embedding_storage` must be one of {STORAGES}. "
                f"Received: {self.embedding_storage!r}"
            )


@overload
def publish(
    run: RunDir,
    export_dir: pathlib.Path,
    config: ExportConfig | None = None,
) -> pathlib.Path: ...


@overload
def publish(
    run: RunDir,
    export_dir: str,
    config: ExportConfig | None = None,
) -> Any: ...  # a path, or a URI if it was given one


def publish(
    run: RunDir,
    export_dir: str | pathlib.Path,
    config: ExportConfig | None = None,
) -> pathlib.Path | str:
    """Writes a version under a temporary name, checks it, and publishes it by a rename.

    To a store the checked version is sent. It counts once its graph is there, which is sent last
    and only if there is none.

    Prints where the version lies and what the gate found; if the probabilities are calibrated or
    the tables stored in fewer bits, also the metrics before and after.

    Args:
        run: The trained run. Its held-out rows must still be where training found them.
        export_dir: The directory in which versions are published, made if it does not exist; or its
            URI in a store.
        config: The settings. The default, None, means `ExportConfig()`.

    Returns:
        The version's directory, `<export_dir>/<version>`; in a store its URI.

    Raises:
        ExportError: If the version exists or would not be the newest, the model is worse than the
            terms allow, or the export does not pass the gate. Nothing is published then.
        LockError: If another process publishes or withdraws a version there.
        CalibrationError: If the held-out rows cannot calibrate.
        RunError: If the run holds no trained model, or its held-out rows are gone.
        StoreError: If the store does not take the version.

    Example:
        path = publish(RunDir("runs/shop"), "models/shop", ExportConfig(calibration="platt"))
        SessionModel(path)({"user": ["u 1"], "item": [17]})  # {'ctr': array([0.1], ...), ...}
    """
    config = config or ExportConfig()
    with locked(export_dir, BUSY):
        number = str(config.version or int(time.time()))
        if not is_remote(export_dir):
            directory = pathlib.Path(export_dir)
            _remove_leftovers(directory)
            _check_new(str(directory), number)
            target = directory / number
            made = _write(run, target, config)
            made.show(str(target))
            return target
        address = str(export_dir).rstrip("/")
        _remove_half_sent(address)
        _check_new(address, number)
        return _send(run, address, number, config)


def _remove_leftovers(export_dir: pathlib.Path) -> None:
    """Removes what killed exports have left; those that live hold the directory's lock."""
    for path in export_dir.glob(".*.tmp"):
        if re.fullmatch(_STAGING, path.name):
            shutil.rmtree(path, ignore_errors=True)


def _remove_half_sent(uri: str) -> None:
    """Removes what killed exports, or rollbacks, have left in a store: versions without a graph."""
    whole = addresses(uri)
    for number in numbered(uri):
        address = join(uri, str(number))
        if address not in whole:
            remove_tree(address)


def _check_new(export_dir: str, number: str) -> None:
    """Refuses a version that is there, or that servers would not serve, since a newer one is."""
    target = join(export_dir, number)
    there = numbered(export_dir)
    if int(number) in there:
        raise ExportError(f"{target}: exists; give another --version")
    if there and int(number) < there[-1]:
        newest = there[-1]
        raise ExportError(
            f"{target}: would not be served, since version {newest} is newer; "
            f"give --version={newest + 1} or a higher one"
        )


def _send(
    run: RunDir,
    uri: str,
    number: str,
    config: ExportConfig,
) -> str:
    """Publishes a run as a version in a store."""
    target = join(uri, number)
    with tempfile.TemporaryDirectory() as folder:
        note_copy(folder, uri)
        local = pathlib.Path(folder, number)
        made = _write(run, local, config)
        graph = (local / GRAPH).read_bytes()
        (local / GRAPH).unlink()
        publish_tree(local, target)
        if claims.create(join(target, GRAPH), graph) is None:
            raise ExportError(f"{target}: exists; give another --version")
        made.show(target)
    return target


@dataclasses.dataclass(frozen=True)
class _Made:
    """What is to be said of a version once it is published.

    Attributes:
        found: What the gate found.
        show_cost: Prints what calibration and smaller tables cost; None where there are none.
    """

    found: list[str]
    show_cost: Callable[[], None] | None

    def show(self, address: str) -> None:
        """Prints it."""
        print(address)
        for line in self.found:
            print(f"  {line}")
        if self.show_cost is not None:
            self.show_cost()


def _write(
    run: RunDir,
    target: pathlib.Path,
    config: ExportConfig,
) -> _Made:
    """Makes a run a checked version on this machine's disk."""
    model = run.load_best()
    model.pieces = PIECES
    features = run.features()
    rows = held_out_rows.sample(run, max(warmup.SIZES))
    tables = table_storage.store(model, config.embedding_storage)
    curves = _curves(run, model, features, config)
    exported = _calibrated(model, curves)
    card = {
        "embedding_storage": tables[0].storage,
        "calibration": "none" if curves is None else curves.describe(),
        "previous": config.terms.judge(run, exported),
    }
    description = describe(features.schema, run.statistics())
    signatures = Signatures(model, features, curves, description)
    # TensorFlow Serving reads only names that are numbers.
    staging = target.with_name(f".{target.name}.tmp")
    try:
        archive.write(staging, signatures, features, tables)
        _write_extras(staging, run, rows, card)
        changes_scores = curves is not None or config.embedding_storage != "float32"
        _write_profile(staging, run, exported if changes_scores else None)
        manifest.write(staging)
        found = check(staging, in_python(model, features, curves))
        atomic.publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if curves is None and config.embedding_storage == "float32":
        return _Made(found, None)
    return _Made(found, lambda: held_out_rows.show_cost(run, exported))


def in_python(
    model: FunnelModel,
    features: Features,
    curves: Calibration | None = None,
) -> Callable[[Rows], dict[str, np.ndarray]]:
    """Makes the function that an export must equal, without any of `Signatures`.

    Args:
        model: The trained model.
        features: Its feature graph.
        curves: The calibration; None by default, for probabilities as they were trained.

    Returns:
        A function from raw columns, [B] or [B, length] each, to named probabilities, [B] each.
    """
    exported = _calibrated(model, curves)

    @tf.function(autograph=False)
    def serve(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = exported(features(columns))
        return probabilities(logits, features.schema)

    def run(rows: Rows) -> dict[str, np.ndarray]:
        names = [column.name for column in features.schema.served_inputs]
        columns = {name: tf.constant(rows[name]) for name in names}
        outputs = serve(columns)
        return {name: values.numpy() for name, values in outputs.items()}

    return run


def _calibrated(model: FunnelModel, curves: Calibration | None) -> held_out_rows.Score:
    """Makes the function from model inputs to logits [B, N], calibrated if there are curves."""

    def score(inputs: Any, training: bool = False) -> tf.Tensor:
        logits = model(inputs, training=training)
        return logits if curves is None else curves(logits)

    return score


def _curves(
    run: RunDir,
    model: FunnelModel,
    features: Features,
    config: ExportConfig,
) -> Calibration | None:
    """The calibration that the settings ask for, fitted on the run's held-out rows."""
    if config.calibration == "none":
        return None
    trained = _calibrated(model, None)
    logits, labels, weights = held_out_rows.predictions(run, trained, features)
    return calibration.fit(config.calibration, logits, labels, weights)


def _write_profile(
    path: pathlib.Path,
    run: RunDir,
    exported: held_out_rows.Score | None,
) -> None:
    """Adds what training noted of its rows, for `tafe drift`; older runs have noted nothing.

    Args:
        path: The SavedModel.
        run: The run.
        exported: What computes the export's scores; None if they are those of the run.
    """
    noted = run.path / profile.FILE
    if not noted.exists():
        return
    copy = path / PROFILE_FILE
    shutil.copyfile(noted, copy)
    if exported is None:
        return
    data, part, name = held_out_rows.unseen(run)
    scores = ScoreProfile(data.schema)
    evaluator = Evaluator(exported, run.features())
    evaluator.predict(data, part, scores.add)
    write_scores(copy, scores.gathered(evaluator.cluster), name)


def _write_extras(
    path: pathlib.Path,
    run: RunDir,
    rows: Rows,
    card: dict[str, Any],
) -> None:
    """Adds schema, warm-up requests and model card to the SavedModel at `path`."""
    schema_file = path / SCHEMA_FILE
    schema_file.parent.mkdir()
    shutil.copyfile(run.path / "schema.toml", schema_file)
    with contextlib.closing(SessionModel(path)) as served:
        warmup.write(served, run.schema(), rows)
        model_card.write(served, run, **card)
