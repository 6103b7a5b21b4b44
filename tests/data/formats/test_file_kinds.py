"""Part files without an ending: their first bytes tell what they are."""

from __future__ import annotations

import bz2
import gzip
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from small_files import GOOD, SCHEMA, read

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import compression_of, extension_of, format_of
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_splits
from tafe_tf.data.formats.write import write
from tafe_tf.first_look.dialect import Dialect
from tafe_tf.first_look.raw import read_file


@pytest.mark.parametrize(
    "extension", ["csv", "csv.gz", "csv.zst", "tsv", "parquet", "tfrecord", "tfrecord.gz"]
)
def test_files_without_an_ending_are_read_as_with_one(
    tmp_path: pathlib.Path, extension: str
) -> None:
    named = tmp_path / f"train.{extension}"
    write(named, GOOD)
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "000000_0"
    shutil.copy(named, path)
    (expected,), (block,) = read(named), read(path)
    for column, values in expected.columns.items():
        np.testing.assert_array_equal(block.columns[column], values)
    of = "csv" if "sv" in extension else extension.partition(".")[0]
    assert format_of(path) == f".{of}"
    assert find_sources(str(tmp_path / "out"), of) == (str(path),)
    assert find_splits(tmp_path / "out", of)["train"] == (str(path),)
    assert read_file(str(path), 9, Dialect()).num_rows == 4
    assert find_sources(str(path)) == (str(path),)  # it was named itself
    with pytest.raises(DataError, match=r"without an ending need --input_format, one of csv, pa"):
        find_sources(str(tmp_path / "out"))
    other = "parquet" if of == "csv" else "csv"
    with pytest.raises(DataError, match=rf"must be a {other} file, .* and is a {of} file by its"):
        find_sources(str(tmp_path / "out"), other)


def test_every_record_of_tensorflow_is_known(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "part-0"
    for size in (0, 1, 255, 70_000):
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(b"x" * size)
        assert extension_of(path) == ".tfrecord"
        content = bytearray(path.read_bytes())
        content[8] ^= 1  # of the checksum of the length
        path.write_bytes(content)
        assert extension_of(path) == ".csv"


def test_what_a_file_becomes_is_seen(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "part-0"
    path.write_text("click\n1\n")
    assert (extension_of(path), compression_of(path)) == (".csv", None)
    pq.write_table(pa.table({"click": [1]}), path)
    assert extension_of(path) == ".parquet"
    with gzip.open(path, "wb") as file:
        file.write(b"click\n1\n")
    assert (extension_of(path), compression_of(path)) == (".csv.gz", "gzip")
    path.unlink()
    with pytest.raises(DataError, match="must end in one of"):
        extension_of(path)


@pytest.mark.parametrize("compression", ["bz2", "lz4"])
def test_further_compressions_of_csv(tmp_path: pathlib.Path, compression: str) -> None:
    write(tmp_path / "train.csv", GOOD)
    text = (tmp_path / "train.csv").read_bytes()
    path = tmp_path / f"train.csv.{compression}"
    if compression == "bz2":
        path.write_bytes(bz2.compress(text))
    else:
        with pa.CompressedOutputStream(str(path), "lz4") as file:
            file.write(text)
    shutil.copy(path, tmp_path / "part-0")
    (expected,) = read(tmp_path / "train.csv")
    for made in (path, tmp_path / "part-0"):
        (block,) = read(made)
        for column, values in expected.columns.items():
            np.testing.assert_array_equal(block.columns[column], values)


@pytest.mark.parametrize("compression", ["snappy", "lz4", "zstd", "gzip", "brotli", "none"])
def test_compressions_within_parquet(tmp_path: pathlib.Path, compression: str) -> None:
    write(tmp_path / "a.parquet", GOOD)
    path = tmp_path / "train.parquet"
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), path, compression=compression)
    expected = "UNCOMPRESSED" if compression == "none" else compression.upper()
    assert pq.read_metadata(path).row_group(0).column(0).compression == expected
    (block,), (other,) = read(path), read(tmp_path / "a.parquet")
    for column, values in other.columns.items():
        np.testing.assert_array_equal(block.columns[column], values)


@pytest.mark.parametrize("extension", ["csv", "tfrecord", "csv.gz"])
def test_a_part_of_0_bytes_has_no_rows(tmp_path: pathlib.Path, extension: str) -> None:
    write(tmp_path / f"train-1.{extension}", GOOD)
    (tmp_path / f"train-0.{extension}").touch()
    (tmp_path / "part-0").touch()
    files = list(find_sources(str(tmp_path), "csv"))
    assert [pathlib.Path(file).name[:7] for file in files] == ["train-0", "train-1"]
    (block,) = read_blocks(files, SCHEMA, bad_rows=BadRows())
    assert list(block.columns["item"]) == GOOD["item"]
