"""The files of a data set: a directory with named files, with files of any name, or one file."""

from __future__ import annotations

import pathlib

import pytest

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import default_schema_file, find_split, find_splits


def names(folder: pathlib.Path) -> dict[str, list[str]]:
    found = find_splits(folder)
    return {split: [pathlib.Path(path).name for path in paths] for split, paths in found.items()}


def touch(folder: pathlib.Path, *files: str) -> None:
    for name in files:
        (folder / name).write_text("click\n1\n")


def test_named_files_are_their_splits(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "train-0.csv", "train-1.csv", "test.csv", "other.csv")
    expected = {"train": ["train-0.csv", "train-1.csv"], "valid": [], "test": ["test.csv"]}
    assert names(tmp_path) == expected


def test_files_of_other_names_are_all_training_files(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "b.csv", "a.csv.gz", "_SUCCESS", ".a.csv.gz.crc", "schema.toml", "_x.csv")
    assert names(tmp_path) == {"train": ["a.csv.gz", "b.csv"], "valid": [], "test": []}
    assert find_split(tmp_path, "test", required=False) == []
    with pytest.raises(DataError, match=r"no file test\.EXT"):
        find_split(tmp_path, "test")


def test_a_mistyped_name_is_not_taken_for_training_rows(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "trian.csv", "test.csv")
    with pytest.raises(DataError, match=r"no file train\.EXT"):
        find_splits(tmp_path)


def test_one_file_is_all_training_rows(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "purchases.tsv", "notes.txt")
    path = tmp_path / "purchases.tsv"
    assert names(path) == {"train": ["purchases.tsv"], "valid": [], "test": []}
    assert default_schema_file(path) == default_schema_file(tmp_path) == f"{tmp_path}/schema.toml"
    with pytest.raises(DataError, match="is one file, whose rows are all training rows"):
        find_split(path, "test")
    with pytest.raises(DataError, match="must end in one of"):
        find_splits(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="there is no such file or directory"):
        find_splits(tmp_path / "none.csv")


def test_formats_are_not_mixed(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "a.csv", "b.parquet")
    with pytest.raises(DataError, match=r"must be of one format\. Received: \.csv, \.parquet"):
        find_splits(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file train\.EXT"):
        find_splits(tmp_path / "empty")


@pytest.mark.parametrize("begun", [".prepare/settings.json", "preparing.json"])
def test_shards_of_a_job_that_has_not_ended_are_refused(tmp_path: pathlib.Path, begun: str) -> None:
    (tmp_path / "train-00000.csv").write_text("click\n1\n")
    (tmp_path / begun).parent.mkdir(exist_ok=True)
    (tmp_path / begun).write_text("{}")
    with pytest.raises(DataError, match="has not ended; run the same command again"):
        find_splits(tmp_path)
    (tmp_path / begun).unlink()
    assert len(find_splits(tmp_path)["train"]) == 1
