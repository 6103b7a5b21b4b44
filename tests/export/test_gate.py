"""The gate finds what is wrong with an export; `tests/test_train.py` tests graphs and answers."""

from __future__ import annotations

import pathlib
import shutil

import pytest
import tensorflow as tf

from tafe_tf.export import warmup
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check


def test_the_gate_finds_what_is_wrong(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(exports["numbers"], tmp_path / "1")
    assert len(check(path)) == 4
    file = path / warmup.FILE
    good = file.read_bytes()
    file.write_bytes(good[:-3])
    with pytest.raises(ExportError, match="warm-up: "):
        check(path)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"\xff" * 9)
    with pytest.raises(ExportError, match="record 1 is no PredictionLog"):
        check(path)
    file.write_bytes(good)
    (path / "saved_model.pb").unlink()
    with pytest.raises(ExportError, match="the session loader cannot load it"):
        check(path)
