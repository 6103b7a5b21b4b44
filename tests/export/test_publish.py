"""The export as a function: its settings, what it publishes, and what it refuses."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import small_models
import tensorflow as tf

from tafe_tf.data.lock import LockError, locked
from tafe_tf.export import calibration, manifest, model_card
from tafe_tf.export.errors import ExportError
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.table_storage import Storage
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import RunDir


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"version": -1}, "`version` must not be negative. Received: -1"),
        ({"calibration": "beta"}, "`calibration` must be one of .*'isotonic'.*Received: 'beta'"),
        ({"embedding_storage": "int4"}, "`embedding_storage` must be one of .* Received: 'int4'"),
    ],
)
def test_settings_check_themselves(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        ExportConfig(**settings)


@pytest.mark.slow
def test_two_exports_differ_in_time_stamps_only(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    run = small_models.run_of(exports["numbers"])
    command = [
        sys.executable,
        "-m",
        "tafe_tf.export.saved_model",
        f"--run_dir={run.path}",
        f"--export_dir={tmp_path}",
    ]
    contents = []
    for version in ("1", "2"):
        subprocess.run([*command, f"--version={version}"], check=True, capture_output=True)
        contents.append(files_of(tmp_path / version))
    cards = [json.loads(files.pop(str(model_card.FILE))) for files in contents]
    manifests = [json.loads(files.pop(str(manifest.FILE)))["files"] for files in contents]
    different = {name for name in manifests[0] if manifests[0][name] != manifests[1][name]}
    assert different == {str(model_card.FILE)}
    for card in cards:
        assert card.pop("created").endswith("+00:00")
    assert cards[0] == cards[1]
    assert contents[0] == contents[1]


def files_of(path: pathlib.Path) -> dict[str, bytes]:
    """The content of every file below a directory."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("storage", "kind"),
    [pytest.param("float16", "platt", marks=pytest.mark.slow), ("int8", "isotonic")],
)
def test_calibrated_and_stored_in_fewer_bits(
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    kind: calibration.Kind,
    storage: Storage,
) -> None:
    # With this seed the untrained weights give logits that rise with the labels.
    run = small_models.make_run(tmp_path, "shop", seed=9)
    config = ExportConfig(version=1, calibration=kind, embedding_storage=storage)
    path = publish(run, tmp_path / "export", config)
    out = capsys.readouterr().out
    assert "600 test rows: trained, and as exported" in out and "AUC" in out
    card = json.loads((path / model_card.FILE).read_text())
    assert card["calibration"]["kind"] == kind and card["embedding_storage"] == storage
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    dtypes = {dtype.name for dtype in reader.get_variable_to_dtype_map().values()}
    assert storage in dtypes
    held_out = next(run.rows.held_out(10_000).evaluation_batches("valid"))
    model = SessionModel(path)
    # As many pieces as in an export without calibration, which evaluates nothing.
    assert products(model) == products(SessionModel(exports["shop"])) > 0
    outputs = model(held_out.inputs)
    assert np.all(outputs["ctcvr"] <= outputs["ctr"])
    assert outputs["ctr"].sum() == pytest.approx(held_out.labels[:, 0].sum(), rel=1e-4)


def products(model: SessionModel) -> int:
    """The number of matrix products in the graph."""
    nodes = []
    for function in model.graph.as_graph_def().library.function:
        nodes.extend(function.node_def)
    return sum(node.op in ("MatMul", "BatchMatMulV2", "Einsum") for node in nodes)


def test_one_process_publishes_and_takes_away_what_killed_ones_left(tmp_path: pathlib.Path) -> None:
    """All of it before the run is looked at."""
    run = RunDir(tmp_path / "none")
    export_dir = tmp_path / "models"
    for name in (".8.1234.tmp", ".9.tmp", "9", "withdrawn-10", ".more.tmp"):
        (export_dir / name).mkdir(parents=True)
    (export_dir / ".9.tmp" / "saved_model.pb").touch()

    def refused(version: int, error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            publish(run, export_dir, ExportConfig(version=version))

    with locked(export_dir):
        refused(10, LockError, r"process \d+ on .* writes in this directory; wait until")
    assert (export_dir / ".9.tmp").exists()  # perhaps that process is writing it
    refused(9, ExportError, "9: exists; give another --version")
    assert sorted(path.name for path in export_dir.iterdir()) == [".more.tmp", "9", "withdrawn-10"]
    refused(8, ExportError, "8: would not be served, since version 9 is newer; give --version=10")
    refused(10, RunError, "none: holds no trained model")


def test_a_run_whose_data_is_gone(tmp_path: pathlib.Path) -> None:
    run = small_models.make_run(tmp_path, "numbers", count=50)
    (tmp_path / "data" / "train.parquet").unlink()
    with pytest.raises(
        RunError,
        match=r"train.parquet: is gone; bring the data back, or correct the paths in .*data",
    ):
        publish(run, tmp_path / "export")
    (run.path / "data.json").unlink()
    with pytest.raises(RunError, match="does not say which rows were held out"):
        publish(run, tmp_path / "export")
