"""Versions on disk: which directories count, and in which order."""

from __future__ import annotations

import pathlib

import pytest

from tafe_tf.export.versions import latest, one_version, versions


def test_versions_are_directories_named_by_numbers_in_numeric_order(tmp_path: pathlib.Path) -> None:
    for name in ("9", "10", "withdrawn-11", ".12.99.tmp", "1a"):
        (tmp_path / name).mkdir()
    (tmp_path / "13").write_text("a file")
    assert versions(tmp_path) == [tmp_path / "9", tmp_path / "10"]
    assert latest(tmp_path) == one_version(tmp_path) == tmp_path / "10"
    (tmp_path / "9" / "saved_model.pb").touch()
    assert one_version(tmp_path / "9") == tmp_path / "9"


def test_a_directory_without_versions_is_named(tmp_path: pathlib.Path) -> None:
    assert versions(tmp_path / "none") == []
    for find in (latest, one_version):
        with pytest.raises(FileNotFoundError, match="none: holds no exported version"):
            find(tmp_path / "none")
