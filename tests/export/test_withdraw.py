"""Rolling back to an older version."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tafe_tf.data.lock import LockError, locked
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
    with pytest.raises(ExportError, match=r"saved_model.pb is gone"):
        withdraw(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "withdrawn-3"]


def test_several_versions_are_withdrawn_at_once(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    for version in ("1", "2", "10"):
        shutil.copytree(exports["numbers"], tmp_path / version)
    withdrawn = withdraw(tmp_path, to_version=1)
    assert withdrawn == [tmp_path / "withdrawn-2", tmp_path / "withdrawn-10"]


def test_a_number_may_be_withdrawn_twice_and_by_one_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tafe_tf.export.withdraw.check", lambda path: [])
    for name in ("1", "2", "3", "withdrawn-3", "withdrawn-3.2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "was").write_text(name)
    with (
        locked(tmp_path),
        pytest.raises(LockError, match=r"process \d+ .*; wait until it"),
    ):
        withdraw(tmp_path)
    assert withdraw(tmp_path, 1) == [tmp_path / "withdrawn-2", tmp_path / "withdrawn-3.3"]
    assert (tmp_path / "withdrawn-3.3" / "was").read_text() == "3"
    assert (tmp_path / "withdrawn-3.2" / "was").read_text() == "withdrawn-3.2"
    with pytest.raises(ExportError, match="none: is no directory of versions"):
        withdraw(tmp_path / "none")
