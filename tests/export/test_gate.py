"""The gate finds what is wrong with an export; `tests/test_train.py` tests graphs and answers."""

from __future__ import annotations

import contextlib
import pathlib
import shutil

import numpy as np
import pytest
import small_models
import tensorflow as tf

from tafe_tf.export import manifest, warmup
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel


def test_the_gate_finds_what_is_wrong(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(exports["numbers"], tmp_path / "1")
    assert len(check(path)) == 6
    file = path / warmup.FILE
    good = file.read_bytes()
    file.write_bytes(good[:-3])
    manifest.write(path)
    with pytest.raises(ExportError, match="warm-up: "):
        check(path)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"\xff" * 9)
    manifest.write(path)
    with pytest.raises(ExportError, match="record 1 is no PredictionLog"):
        check(path)
    file.write_bytes(good)
    shutil.rmtree(path / "variables")
    manifest.write(path)
    with pytest.raises(ExportError, match="the session loader cannot load it"):
        check(path)


def test_an_export_that_tells_nothing_of_its_fields_may_still_be_served(
    old_export: pathlib.Path,
) -> None:
    found = check(old_export)[-1]
    assert found == "does not tell which values are unseen: exported before it could"


def test_the_gate_warns_where_values_are_far_more_often_unseen(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(exports["shop"], tmp_path / "1")
    with contextlib.closing(SessionModel(path)) as served:
        schema = small_models.run_of(exports["shop"]).schema()
        rows = probe_rows(schema, path / "assets", 200)
        rows["hour"] = np.array([99] * 120 + [1] * 80)
        warmup.write(served, schema, rows)
    manifest.write(path)
    found = [line for line in check(path) if "warning" in line]
    hour = "warning, of the warm-up rows: field 'hour': 60.0% of its values are unseen, "
    assert f"{hour}and 0.0% were in training" in found
