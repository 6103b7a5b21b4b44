"""Files of scores: whole, and of the rows that they say."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
import small_models
from scoring_jobs import job, mkdir, parts, whole

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError, locked
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job
from tafe_tf.serving.batch.ledger import finish
from tafe_tf.serving.batch.part_files import record_of
from tafe_tf.serving.batch.settings import JobError


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


def flip_a_score(path: pathlib.Path) -> None:
    """Damages a page of values; the footer stays as it is."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    pq.read_metadata(path)


def record(path: pathlib.Path) -> pathlib.Path:
    """The record of a part."""
    return pathlib.Path(record_of(str(path)))


DAMAGES: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    "a score": (flip_a_score, r"a-00001.parquet: is damaged: a-00001.parquet holds other bytes"),
    "the footer": (lambda path: path.write_bytes(b"PAR1"), r"a-00001.parquet: is damaged: "),
    "the record": (lambda path: record(path).write_text("{}"), "nothing says what it held"),
    "no record": (lambda path: record(path).unlink(), "nothing says what it held"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_said_and_scored_again(
    loans: Job, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    act, said = DAMAGES[damage]
    summary = scoring.run(loans)
    before = whole(loans)
    act(parts(loans)[1])
    left_over = pathlib.Path(loans.output) / "_parts" / ".12._a-00000.json"  # of a killed process
    left_over.touch()
    capsys.readouterr()
    with pytest.raises(JobError, match=rf"{said}.*; run the job again"):
        finish(loans)
    assert scoring.run(loans) == summary
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "scored again" in line]
    assert re.search(said, line)
    assert whole(loans) == before
    assert not left_over.exists()
    assert scoring.run(loans) == summary
    assert "scored again" not in capsys.readouterr().out


def test_a_part_under_another_ones_name_is_scored_again(
    loans: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    scoring.run(loans)
    before = whole(loans)
    first, second, *_ = parts(loans)
    shutil.copy(first, second)
    shutil.copy(record(first), record(second))
    (pathlib.Path(loans.output) / "_SUCCESS.json").unlink()
    scoring.run(loans)
    assert "is damaged: it says that it is part 0" in capsys.readouterr().out
    assert whole(loans) == before


def test_the_summary_says_what_every_part_holds(loans: Job) -> None:
    files = scoring.run(loans)["files"]
    assert files == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in whole(loans).items()
    }


def test_one_process_scores_into_a_directory(loans: Job) -> None:
    with (
        locked(loans.output),
        pytest.raises(LockError, match=r"out: process \d+ .* writes"),
    ):
        scoring.run(loans)
    assert parts(loans) == []


def test_a_model_that_is_not_what_was_published_scores_nothing(loans: Job) -> None:
    model = shutil.copytree(loans.model, pathlib.Path(loans.output).with_name("model"))
    vocabulary = model / "assets" / "user.txt"
    lines = vocabulary.read_text().splitlines()
    vocabulary.write_text("".join(f"{line}\n" for line in reversed(lines)))
    with pytest.raises(JobError, match=r"model: assets/user.txt holds other bytes"):
        scoring.run(dataclasses.replace(loans, model=str(model)))
    assert parts(loans) == []
