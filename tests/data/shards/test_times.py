"""Shards of a file whose times are written in several ways."""

from __future__ import annotations

import pathlib

import pyarrow.parquet as pq
import pytest

from tafe_tf.data.errors import DataError
from tafe_tf.data.shards import write
from tafe_tf.data.shards.job import Piece, ShardJob
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="times",
    features=(Feature(name="item", kind="vocabulary"),),
    tasks=(Task(name="click"),),
    time="at",
)


def job(tmp_path: pathlib.Path, times: list[str], form: str) -> tuple[ShardJob, Piece]:
    """A job of one CSV file, whose blocks have two rows each and whose shards have four."""
    rows = "".join(f"a,{time},0\n" for time in times)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text(f"item,at,click\n{rows}")
    output = tmp_path / "out"
    made = ShardJob(
        data_dir=str(tmp_path / "data"),
        schema=SCHEMA,
        schema_text="",
        output=str(output),
        format=form,
        shard_rows=4,
    )
    pathlib.Path(made.work).mkdir(parents=True)
    pathlib.Path(made.shard("train", 0, 0)).parent.mkdir(parents=True, exist_ok=True)
    return made, Piece("train", 0, 0, 1, str(tmp_path / "data" / "train.csv"))


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_whole_times_after_fractions_are_fractions(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(write, "BLOCK_ROWS", 2)
    made, piece = job(tmp_path, ["0.5", "1.5", "2", "3"], form)
    assert list(write.convert(made, piece)) == [2, 2]
    if form == "parquet":
        found = pq.read_table(made.shard("train", 0, 0))["at"].to_pylist()
        assert found == [0.5, 1.5, 2.0, 3.0]


def test_fractions_after_whole_times_are_an_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "BLOCK_ROWS", 2)
    made, piece = job(tmp_path, ["2", "3", "0.5", "1.5"], "parquet")
    rule = "train.csv: column 'at' must be of one kind in all rows, such as 1.0 beside 1.5"
    with pytest.raises(DataError, match=rule):
        list(write.convert(made, piece))
