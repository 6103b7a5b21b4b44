"""The model card of an export: what it is, what it was made from, and how good it is."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from typing import Any

import keras
import tensorflow as tf

import tafe_tf
from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.fingerprint import Fingerprint
from tafe_tf.data.manifest import FILE as MANIFEST
from tafe_tf.data.manifest import entry
from tafe_tf.export import manifest
from tafe_tf.export.description import describe
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.versions import CARD_FILE
from tafe_tf.schema import Schema
from tafe_tf.training.run_dir import RunDir

FILE = CARD_FILE
METHOD = "Task Aware Feature Extraction Framework for Sequential Dependence Multi-Task Learning"


def write(
    served: SessionModel,
    run: RunDir,
    **made: Any,
) -> None:
    """Writes the card into a SavedModel.

    Args:
        served: The SavedModel.
        run: The run that it was exported from.
        **made: Further entries: what the export did, such as its calibration.
    """
    now = datetime.datetime.now(datetime.UTC)
    statistics = run.statistics()
    flags = (run.path / "flags.txt").read_text(encoding="utf-8")
    data = _data(run)
    card = {
        "name": run.schema().name,
        "created": now.isoformat(timespec="seconds"),
        "method": METHOD,
        **_interface(run.schema()),
        **describe(run.schema(), statistics),
        "signatures": _signatures(served),
        **made,
        "model": _read(run, "model"),
        "training": {
            "rows": statistics.get("rows"),
            "rate": statistics.get("rate"),
            "flags": flags.splitlines(),
            "accepted_changes": _read(run, "data").get("accepted_changes", []),
        },
        "data": data,
        "data_hash": _hash(data),
        "accepted_changes": _read(run, "data").get("accepted_changes", []),
        "run_manifest": _identity(run),
        "manifest": manifest.FILE.as_posix(),  # without it this version is not whole
        "test_metrics": _read(run, "metrics"),
        "versions": {
            "tafe_tf": tafe_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }
    write_json(served.path / FILE, card)


def _interface(dataset: Schema) -> dict[str, Any]:
    """The funnel, the outputs and the raw columns."""
    columns = []
    for column in dataset.served_inputs:
        is_list = column.max_length > 0
        described = {
            "name": column.name,
            "dtype": column.dtype,
            "list": is_list,
        }
        columns.append(described)
    return {
        "funnel": [task.name for task in dataset.tasks],
        "outputs": {
            "all impressions": dataset.step_names,
            "given the step before": dataset.conditional_names,
            **({"amounts": dataset.amount_names} if dataset.amount else {}),
        },
        **({"score": dict(dataset.score.powers)} if dataset.score else {}),
        "columns": columns,
    }


def _signatures(served: SessionModel) -> dict[str, Any]:
    """The inputs and outputs of each signature."""
    described = {}
    for name, signature in sorted(served.signatures.items()):
        described[name] = {
            "inputs": _tensors(signature.inputs),
            "outputs": _tensors(signature.outputs),
        }
    return described


def _tensors(tensors: Any) -> dict[str, str]:
    """Dtype and shape of each tensor, such as "float32 [?]"."""
    return {name: _describe(info) for name, info in sorted(tensors.items())}


def _describe(info: Any) -> str:
    sizes = []
    for dimension in info.tensor_shape.dim:
        size = "?" if dimension.size < 0 else str(dimension.size)
        sizes.append(size)
    dtype = tf.dtypes.as_dtype(info.dtype)
    return f"{dtype.name} [{', '.join(sizes)}]"


def _data(run: RunDir) -> dict[str, Any]:
    """What the run's files held, by split: name, size and a hash of samples of the content."""
    noted = _read(run, "data")
    files = {}
    for split, fingerprints in noted.get("inputs", {}).items():
        files[split] = [Fingerprint(*item)._asdict() for item in fingerprints]
    return files


def _hash(data: dict[str, Any]) -> str | None:
    """A hash that is another one for other files; None if the run does not know what they held."""
    if not data:
        return None
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(run: RunDir) -> str | None:
    """A hash of the run's manifest, which says what its files held; None if it has none."""
    path = run.path / MANIFEST
    return entry(path)["sha256"] if path.exists() else None


def _read(run: RunDir, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty if the run has none of that name."""
    path = run.path / f"{name}.json"
    return read_json(path) if path.exists() else {}
