"""Rolling back to an older version."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tafe_tf.export.errors import ExportError
from tafe_tf.export.withdraw import withdraw


def test_newer_versions_are_withdrawn_if_the_older_one_passes_the_gate(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ExportError, match=r"holds 0 version\(s\), so there is none to go back to"):
        withdraw(tmp_path)
    for version in ("1", "2", "3"):
        shutil.copytree(exports["numbers"], tmp_path / version)
    assert withdraw(tmp_path) == [tmp_path / "withdrawn-3"]
    with pytest.raises(ExportError, match="7: is no version; there are 1, 2"):
        withdraw(tmp_path, 7)
    (tmp_path / "1" / "saved_model.pb").unlink()
    with pytest.raises(ExportError, match="cannot load it"):
        withdraw(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "withdrawn-3"]


def test_several_versions_are_withdrawn_at_once(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    for version in ("1", "2", "10"):
        shutil.copytree(exports["numbers"], tmp_path / version)
    withdrawn = withdraw(tmp_path, to_version=1)
    assert withdrawn == [tmp_path / "withdrawn-2", tmp_path / "withdrawn-10"]
