"""Heavy rows come in small parts, and nothing else changes by it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.formats import bounded, parquet_files
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import BLOCK_ROWS, read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.resumable_parts import read_parts
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    features=(
        Feature(name="text", kind="hash", buckets=9),
        Feature(name="tags", kind="hash", buckets=9, max_length=3),
    ),
    tasks=(Task(name="click"),),
)
FORMATS = ("csv", "csv.gz", "parquet", "tfrecord", "memory")
ROWS = 1500


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str | ArrowRows]]:
    """The same rows in all formats, in two files each; some texts are much longer than others."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    found: dict[str, list[str | ArrowRows]] = {name: [] for name in FORMATS}
    for number in range(2):
        lengths = rng.choice([1, 5, 400], ROWS)
        columns = {
            "text": ["x" * length for length in lengths],
            "tags": [["a", "b"]] * ROWS,
            "click": [str(value) for value in rng.integers(0, 2, ROWS)],
        }
        columns["click"][17] = "maybe"  # a bad row
        for name in FORMATS:
            if name == "memory":
                found[name].append(ArrowRows(f"rows{number}", pa.table(columns)))
                continue
            path = folder / f"train-{number}.{name}"
            write(path, columns)
            found[name].append(str(path))
    return found


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has blocks of more than 4,000 bytes cut."""
    monkeypatch.setattr(bounded, "MOST_BYTES", 4000)
    monkeypatch.setattr(bounded, "_STEP_ROWS", 16)


def blocks(sources: list[str | ArrowRows], start: int = 0) -> Iterator[Block]:
    return read_blocks(sources, SCHEMA, bad_rows=BadRows("drop"), block_rows=700, start_row=start)


def whole(sources: list[str | ArrowRows]) -> list[list[tuple[int, int, str]]]:
    """File, row and text of each row, block by block, whatever parts the blocks come in."""
    found: list[list[tuple[int, int, str]]] = [[]]
    for block in blocks(sources):
        values = block.columns["text"]
        texts = [text.decode() if isinstance(text, bytes) else text for text in values]
        found[-1] += zip(block.file.tolist(), block.row.tolist(), texts, strict=True)
        if block.ends:
            found.append([])
    assert found.pop() == []
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_the_parts_of_a_block_are_the_block(
    files: dict[str, list[str | ArrowRows]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(files[name])
    assert [len(block) for block in expected] == [699, 700, 100] * 2
    monkeypatch.setattr(bounded, "MOST_BYTES", 4000)
    monkeypatch.setattr(bounded, "_STEP_ROWS", 16)
    parts = [len(block.row) for block in blocks(files[name])]
    assert len(parts) > 50 and max(parts) <= 64
    assert whole(files[name]) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_parts_do_not_depend_on_where_reading_begins(
    files: dict[str, list[str | ArrowRows]], name: str, narrow: None
) -> None:
    rows = [(block.file[0], block.row.tolist()) for block in blocks(files[name])]
    later = [(block.file[0], block.row.tolist()) for block in blocks(files[name], start=700)]
    assert later == rows[-len(later) :]
    assert later[0][1][0] == 701


def epoch(sources: list[str | ArrowRows], readers: int) -> tuple[list[Batch], list[Batch]]:
    """The batches of training, and those of the rows that are held out."""
    data = FunnelData(
        files=sources,
        schema=SCHEMA,
        batch_size=512,
        seed=3,
        shuffle_rows=5000,
        readers=readers,
        holdout=Holdout(fraction=0.2),
        bad_rows=BadRows("drop"),
    )
    training = data.training_batches(Position(), mine=range(readers))
    return list(training), list(data.evaluation_batches("valid"))


@pytest.mark.parametrize("readers", [1, 4])
def test_batches_are_the_same_for_rows_of_any_weight(
    tmp_path: pathlib.Path, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = BLOCK_ROWS + 1000  # windows end with blocks
    columns = {"text": [f"t{i % 99}" for i in range(rows)], "tags": [["a"]] * rows}
    columns["click"] = [str(i % 2) for i in range(rows)]
    sources: list[str | ArrowRows] = [ArrowRows(name, pa.table(columns)) for name in "ab"]
    expected = epoch(sources, readers)
    monkeypatch.setattr(bounded, "MOST_BYTES", 100_000)
    monkeypatch.setattr(bounded, "_STEP_ROWS", 1024)
    found = epoch(sources, readers)
    for batches, others in zip(found, expected, strict=True):
        assert len(batches) == len(others) > 10
        for batch, other in zip(batches, others, strict=True):
            np.testing.assert_array_equal(batch.row, other.row)
            np.testing.assert_array_equal(batch.file, other.file)
            np.testing.assert_array_equal(batch.inputs["text"], other.inputs["text"])
            if batches is found[0]:  # from which training goes on
                np.testing.assert_array_equal(batch.position, other.position)


def test_parts_of_a_file_end_where_they_did(
    files: dict[str, list[str | ArrowRows]], narrow: None
) -> None:
    path = str(files["csv"][0])
    rows = {0: 0, 1: 0}
    sizes = {0: 1399, 1: 100}  # of 1,400 rows one is bad
    for piece in read_parts(path, SCHEMA, 1400, "drop", block_rows=700):
        rows[piece.part] += len(piece.block.row)
        assert piece.ends == (rows[piece.part] == sizes[piece.part])
    assert rows == sizes


def test_a_small_file_of_long_texts_is_read_in_small_parts(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.parquet"
    rows = 30_000
    text = pa.array(["x" * 10_000])
    table = pa.table(
        {
            "text": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), text),
            "tags": pa.nulls(rows, pa.list_(pa.string())),
            "click": pa.array(np.zeros(rows, np.int64)),
        }
    )
    pq.write_table(table, path)
    assert path.stat().st_size < 500_000
    before = pa.total_allocated_bytes()
    most = 0
    read = 0
    for block in read_blocks([str(path)], SCHEMA, bad_rows=BadRows()):
        most = max(most, pa.total_allocated_bytes() - before)
        read += len(block.row)
        assert len(block.row) * 10_000 < 2 * bounded.MOST_BYTES
    assert read == rows
    assert most < 4 * bounded.MOST_BYTES  # in one block they take 300 MB


def test_short_texts_are_read_a_block_at_a_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.parquet"
    columns: dict[str, list[str | None]] = {
        f"text{i}": [f"user{j}" for j in range(9000)] for i in range(9)
    }
    columns["none"] = [None] * 9000
    pq.write_table(pa.table(columns), path)
    metadata = pq.read_metadata(path)
    assert parquet_files._rows_at_a_time(metadata, list(columns), BLOCK_ROWS) == BLOCK_ROWS
    pq.write_table(pa.table(columns), path, write_statistics=False)
    metadata = pq.read_metadata(path)
    assert parquet_files._rows_at_a_time(metadata, ["text0"], BLOCK_ROWS) == 4096
    assert parquet_files._rows_at_a_time(metadata, [], BLOCK_ROWS) == BLOCK_ROWS
