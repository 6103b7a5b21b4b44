"""Small files: what was written is read again, and a failure leaves what was there before."""

from __future__ import annotations

import json
import pathlib
import resource

import numpy as np
import pytest

from tafe_tf.data.atomic import (
    read_json,
    read_text,
    read_toml,
    remove_left_over,
    replacing,
    temporary_name,
    write_arrays,
    write_json,
    write_text,
)
from tafe_tf.data.errors import DataError


def test_json_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    value = {"Straße": [1, 2.5, None, True], "empty": {}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == read_json(str(tmp_path / "a.json")) == value
    assert json.loads((tmp_path / "a.json").read_bytes()) == value


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"{'a': 1}", b"[" * 50_000])
def test_broken_json_names_the_file(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path}: holds no JSON: "):
        read_json(path)


def test_a_missing_file_is_an_os_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        read_json(tmp_path / "gone.json")


def test_a_failure_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="mid-way"), replacing(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError("mid-way")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError):
        write_json(path, {"not JSON": object()})
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large: '{path}'$"):
            write_json(path, list(range(9999)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_json(path) == [1] and list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_were_writing_is_removed(tmp_path: pathlib.Path) -> None:
    left = temporary_name(tmp_path / "metrics.json")
    left.write_text("half")
    others = [".lock", ".1", "1.json", "a.1.json"]
    for name in others:
        (tmp_path / name).touch()
    remove_left_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    remove_left_over(tmp_path / "none")


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = " + b"[" * 5000])
def test_broken_toml_names_the_file(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path}: holds no TOML: "):
        read_toml(path)


def test_a_text_that_is_none_names_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.txt"
    path.write_bytes(b"--seed=\xff")
    with pytest.raises(DataError, match=rf"^{path}: is damaged, its text is not UTF-8: "):
        read_text(path)


def test_arrays_keep_their_types(tmp_path: pathlib.Path) -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(3, dtype=np.uint8),
        "b": np.array([[np.nan, 1.5]], np.float32),
    }
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as found:
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
        assert set(found) == set(arrays)  # and nothing else
    with pytest.raises(ValueError, match="'a' holds Python objects"):
        write_arrays(tmp_path / "b.npz", {"a": np.array([object()])})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
