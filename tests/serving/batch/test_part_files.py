"""Files of scores: whole, and of the rows that they say."""

from __future__ import annotations

import pathlib

import pyarrow.parquet as pq
import pytest
import small_models
from scoring_jobs import job, mkdir, parts, whole

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.write import write
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job, JobError


def test_a_part_may_have_no_rows(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    columns = small_models.rows("loans", 30)
    columns["item"][8:20] = ["x"] * 12
    write(mkdir(tmp_path / "in") / "a.csv", columns)
    task = job(
        exports["loans"],
        tmp_path / "in" / "a.csv",
        rows_per_shard=10,
        on_bad_row="drop",
        keys=("user",),
    )
    summary = scoring.run(task)
    assert (summary["rows"], summary["dropped"]) == (18, 12)
    (reason,) = summary["inputs"][task.inputs[0].path]["reasons"]  # one for all parts
    assert reason.startswith("dropped 12 rows, the first: ") and "row 9, column 'item'" in reason
    assert [pq.read_metadata(part).num_rows for part in parts(task)] == [8, 0, 10]
    assert len({pq.read_schema(part) for part in parts(task)}) == 1


def test_a_file_must_not_change_meanwhile(loans: Job) -> None:
    with open(loans.inputs[0].path, "a") as file:
        file.write("r250,u 1,1,0,0,0\n")
    with pytest.raises(DataError, match=r"a.csv: has changed since the job began"):
        scoring.run(loans)
    assert parts(loans) == []


def test_a_damaged_part_is_named(loans: Job) -> None:
    scoring.run(loans)
    before = whole(loans)
    parts(loans)[1].write_bytes(b"PAR1")
    with pytest.raises(
        JobError, match=r"a-00001\.parquet: is damaged; remove it to score its rows again"
    ):
        scoring.run(loans)
    parts(loans)[1].unlink()
    scoring.run(loans)
    assert whole(loans) == before
