"""Small files that appear whole or not at all."""

from __future__ import annotations

import pathlib

import pytest

from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.errors import DataError


def test_json_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    value = {"rows": 3, "rate": [0.1, None], "Köln": {"a": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["", '{"rows": 3', "{'rows': 3}"])
def test_broken_json_names_the_file(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"^{path}: holds no JSON: .*line 1"):
        read_json(path)


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        read_json(tmp_path / "gone.json")
