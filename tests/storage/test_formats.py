"""Every format reads the same rows from a store as from a disk; errors name the URI."""

from __future__ import annotations

import pathlib
import struct
from typing import Any

import numpy as np
import pytest
from small_files import EXTENSIONS, SCHEMA, read, written

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import tfrecord_pieces
from tafe_tf.data.formats.read import count_rows, read_blocks
from tafe_tf.data.formats.write import write

ROWS = 3000


def remote(path: pathlib.Path, **settings: Any) -> list[Block]:
    return list(read_blocks([f"file://{path}"], SCHEMA, bad_rows=BadRows(), **settings))


def many(tmp_path: pathlib.Path, extension: str) -> pathlib.Path:
    numbers = np.random.default_rng(0)
    path = tmp_path / f"train.{extension}"
    rows = {
        "item": numbers.integers(0, 50, ROWS).tolist(),
        "price": numbers.random(ROWS).tolist(),
        "tags": [["x", "y"][: 1 + row % 2] for row in range(ROWS)],
        "tag_weights": [[1.0, 2.0][: 1 + row % 2] for row in range(ROWS)],
        "click": [1] * ROWS,
        "buy": numbers.integers(0, 2, ROWS).tolist(),
        "at": list(range(ROWS)),
    }
    write(path, rows)
    return path


def assert_same(one: list[Block], other: list[Block]) -> None:
    assert len(one) == len(other) > 0
    for mine, yours in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.row, yours.row)
        np.testing.assert_array_equal(mine.labels, yours.labels)
        for name, values in mine.columns.items():
            np.testing.assert_array_equal(values, yours.columns[name])


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("start_row", [0, 1500])
def test_blocks_are_the_same(tmp_path: pathlib.Path, extension: str, start_row: int) -> None:
    path = many(tmp_path, extension)
    settings: dict[str, Any] = {"block_rows": 1000, "start_row": start_row}
    assert_same(remote(path, **settings), read(path, **settings))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_truncated_object_is_an_error_that_names_it(
    tmp_path: pathlib.Path,
    extension: str,
) -> None:
    path = many(tmp_path, extension)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    if extension in ("csv", "tsv"):  # a text that ends early has no mark of it
        path.write_bytes(content[: len(content) // 2] + b"\xff\xfe")
    with pytest.raises(DataError, match=f"^file://{path}: cannot be read") as error:
        remote(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_missing_object_is_an_error_that_names_it(
    tmp_path: pathlib.Path,
    extension: str,
) -> None:
    path = tmp_path / f"train.{extension}"
    with pytest.raises(DataError, match=f"^file://{path}: cannot open it: there is no such"):
        remote(path)


def test_a_footer_counts_the_rows(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "parquet")
    assert count_rows(f"file://{path}") == 4


def test_pieces_are_small_and_hold_all_records(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tfrecord_pieces, "_PIECE_BYTES", 10_000)
    monkeypatch.setattr(tfrecord_pieces, "_READ_BYTES", 3_000)
    path = many(tmp_path, "tfrecord")
    pieces = []
    for piece in tfrecord_pieces.local_pieces(f"file://{path}"):
        pieces.append(pathlib.Path(piece).read_bytes())
    assert not pathlib.Path(piece).exists()
    assert b"".join(pieces) == path.read_bytes()
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 10_000 + 3_000
    assert_same(remote(path), read(path))


def test_a_damaged_length_is_an_error_that_counts_the_rows(tmp_path: pathlib.Path) -> None:
    path = many(tmp_path, "tfrecord")
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", content, 0)
    content[length + 16 : length + 24] = b"\xff" * 8  # of the second record
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read after row 1: corrupted record"):
        remote(path)
