"""A manifest finds every change, and agrees with the command `sha256sum`."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from tafe_tf.data import manifest


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "Straße.txt").write_text("a\nb\n")
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / ".lock").touch()
    return tmp_path


def test_hashes_are_those_of_sha256sum(folder: pathlib.Path) -> None:
    names = manifest.files_below(folder)
    assert names == ["vocabulary/Straße.txt", "weights"]
    for name, found in manifest.entries(folder, names).items():
        printed = subprocess.check_output(["sha256sum", folder / name], text=True)
        assert found["sha256"] == printed.split()[0]
        assert found["bytes"] == (folder / name).stat().st_size


def test_every_flipped_byte_cut_and_lost_file_is_found(folder: pathlib.Path) -> None:
    noted = manifest.entries(folder, manifest.files_below(folder))
    manifest.check(folder, noted, "never said")
    weights = folder / "weights"
    whole = weights.read_bytes()
    for place in (0, 1234, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        weights.write_bytes(flipped)
        with pytest.raises(manifest.ManifestError, match=r"weights holds other bytes .* Do it\.$"):
            manifest.check(folder, noted, "Do it.")
    weights.write_bytes(whole[:-1])
    assert manifest.differences(folder, noted) == ["weights has 255,999 bytes and not 256,000"]
    weights.unlink()
    assert manifest.differences(folder, noted) == ["weights is gone"]
