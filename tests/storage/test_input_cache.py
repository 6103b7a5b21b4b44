"""Input files that are kept on a disk: the same rows, each file brought once."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_models
from pyarrow import orc

import tafe_tf
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.schema import Schema
from tafe_tf.storage import input_cache, listing, reading
from tafe_tf.storage.errors import StoreError

FORMATS = ("csv", "csv.gz", "parquet", "orc", "tfrecord")


@pytest.fixture
def schema(tmp_path: pathlib.Path) -> Schema:
    path = tmp_path / "schema.toml"
    path.write_text(small_models.SHOP)
    return tafe_tf.schema_toml.load(path)


def labels_of(uri: str, schema: Schema) -> np.ndarray:
    blocks = list(read_blocks([uri], schema, bad_rows=BadRows()))
    return np.concatenate([block.labels for block in blocks])


def write_any(path: pathlib.Path, columns: dict[str, list[Any]]) -> None:
    """The package writes no ORC files, so that pyarrow turns Parquet into one."""
    if path.suffix != ".orc":
        write(path, columns)
        return
    parquet = path.with_suffix(".parquet")
    write(parquet, columns)
    orc.write_table(pq.read_table(parquet), path)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_kept_file_gives_the_same_rows_and_is_brought_once(
    tmp_path: pathlib.Path,
    schema: Schema,
    extension: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"train.{extension}"
    write_any(path, small_models.rows("shop", 300, 0))
    uri = f"file://{path}"
    expected = labels_of(str(path), schema)
    cache = tmp_path / "cache"
    with input_cache.kept_in(cache):
        np.testing.assert_array_equal(labels_of(uri, schema), expected)
        (copy,) = cache.iterdir()
        assert copy.read_bytes() == path.read_bytes()
        with monkeypatch.context() as offline:
            offline.setattr(reading.ObjectFile, "_copy_to", None)
            np.testing.assert_array_equal(labels_of(uri, schema), expected)
    assert not input_cache.is_on()


def test_a_replaced_file_is_brought_anew(tmp_path: pathlib.Path, schema: Schema) -> None:
    path = tmp_path / "train.csv"
    with input_cache.kept_in(tmp_path / "cache"):
        for rows in (100, 200):
            write(path, small_models.rows("shop", rows, 0))
            assert len(labels_of(f"file://{path}", schema)) == rows
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_file_that_cannot_be_brought_is_not_half_there(
    tmp_path: pathlib.Path,
    schema: Schema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "train.csv"
    write(path, small_models.rows("shop", 300, 0))
    monkeypatch.setattr(reading, "RANGE_BYTES", 1000)
    original = reading.ObjectFile.read_at

    def breaking(file: reading.ObjectFile, offset: int, length: int) -> bytes:
        if offset >= 3000:
            raise StoreError("no")
        return original(file, offset, length)

    monkeypatch.setattr(reading.ObjectFile, "read_at", breaking)
    with input_cache.kept_in(tmp_path / "cache"), pytest.raises(StoreError):
        labels_of(f"file://{path}", schema)
    assert list((tmp_path / "cache").iterdir()) == []


def test_training_keeps_its_input_files_and_no_others(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "schema.toml").write_text(small_models.SHOP)
    train = tmp_path / "data" / "train.parquet"
    write(train, small_models.rows("shop", 300, 0))
    weights = []
    for name, settings in (("plain", {}), ("cached", {"cache_dir": str(tmp_path / "cache")})):
        run = tafe_tf.fit(
            f"file://{tmp_path}/data/schema.toml",
            train=f"file://{train}",
            run_dir=f"file://{tmp_path}/{name}",
            model="shared_bottom",
            epochs=2,
            batch_size=64,
            verbose=False,
            **settings,
        )
        weights.append(run.model.get_weights())
    for mine, yours in zip(*weights, strict=True):
        np.testing.assert_array_equal(mine, yours)
    (copy,) = (tmp_path / "cache").iterdir()
    assert pq.read_table(copy).equals(pq.read_table(train))
    assert listing.exists(f"file://{tmp_path}/cached/model.keras")
