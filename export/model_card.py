"""The model card of an export: what it is, what it was made from, and how good it is."""

from __future__ import annotations

import datetime
import json
import pathlib
import platform
from typing import Any

import keras
import tensorflow as tf

import tafe_tf
from tafe_tf.data.atomic import write_json
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run_dir import RunDir

FILE = pathlib.PurePath("assets.extra", "model_card.json")


def write(served: SessionModel, run: RunDir, **made: Any) -> None:
    """Writes the card into a SavedModel.

    Args:
        served: the SavedModel.
        run: the run that it was exported from.
        made: what the export did besides, such as its calibration.
    """
    dataset, statistics = run.schema(), _read(run, "statistics")
    card = {
        "name": dataset.name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "method": "Task Aware Feature Extraction Framework for Sequential Dependence Multi-Task Learning",
        "funnel": [task.name for task in dataset.tasks],
        "outputs": {
            "all impressions": dataset.step_names,
            "given the step before": dataset.conditional_names,
        },
        "columns": [
            {"name": c.name, "dtype": c.dtype, "list": c.max_length > 0} for c in dataset.inputs
        ],
        "signatures": {
            name: _tensors(signature) for name, signature in sorted(served.signatures.items())
        },
        **made,
        "model": json.loads((run.path / "model.json").read_text(encoding="utf-8")),
        "training": {
            "rows": statistics.get("rows"),
            "rate": statistics.get("rate"),
            "flags": _flags(run),
        },
        "data_hash": statistics.get(
            "made_from"
        ),  # of the schema and the training files' names and sizes
        "test_metrics": _read(run, "metrics"),
        "versions": {
            "tafe_tf": tafe_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }
    write_json(served.path / FILE, card)


def _read(run: RunDir, name: str) -> dict[str, Any]:
    path = run.path / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _flags(run: RunDir) -> list[str]:
    return (run.path / "flags.txt").read_text(encoding="utf-8").splitlines()


def _tensors(signature: Any) -> dict[str, dict[str, str]]:
    def describe(info: Any) -> str:
        shape = ", ".join("?" if d.size < 0 else str(d.size) for d in info.tensor_shape.dim)
        return f"{tf.dtypes.as_dtype(info.dtype).name} [{shape}]"

    return {
        "inputs": {name: describe(info) for name, info in sorted(signature.inputs.items())},
        "outputs": {name: describe(info) for name, info in sorted(signature.outputs.items())},
    }
