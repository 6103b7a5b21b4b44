"""Batch scoring: every row once, wherever it stops, and one job in a directory."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import pytest
import small_models
from marks import all_slow_but
from scoring_jobs import job, mkdir, parts, stamps, whole
from small_files import EXTENSIONS

from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch import job as scoring_job
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.batch.ledger import claim, finish
from tafe_tf.serving.batch.settings import JobError


class Stops:
    """A model that fails at its n-th call."""

    native_signatures: frozenset[str] = frozenset()  # whose first rows would be asked twice

    def __init__(self, model: SessionModel, calls: int) -> None:
        self._model, self._left = model, calls

    def __call__(self, *arguments: Any) -> dict[str, np.ndarray]:
        self._left -= arguments[1] != "fields"
        if self._left < 0:
            raise KeyboardInterrupt
        return self._model(*arguments)


@pytest.mark.parametrize("extension", all_slow_but({"parquet", "csv.gz"}, EXTENSIONS))
def test_wherever_it_stops_it_goes_on(
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    extension: str,
) -> None:
    monkeypatch.setattr(scoring_job, "BLOCK_ROWS", 10)  # two blocks a part
    inputs, model = mkdir(tmp_path / "in"), SessionModel(exports["loans"], native="off")
    for seed, stem in enumerate("ab"):
        write(inputs / f"{stem}.{extension}", small_models.rows("loans", 50, seed))
    settings: dict[str, Any] = {"keys": ("user",), "rows_per_shard": 20, "batch_size": 10}
    undisturbed = job(exports["loans"], inputs / "*", output="undisturbed", **settings)
    scoring.run(undisturbed)
    for calls in (0, 1, 2, 3, 4, 5, 9):
        task = job(exports["loans"], inputs / "*", output=str(calls), **settings)
        with pytest.raises(KeyboardInterrupt):
            list(scoring.score(Stops(model, calls), task, claim(task)))  # type: ignore[arg-type]
        finished = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 3, 9: 5}[calls]
        names = {path.name for path in pathlib.Path(task.output).iterdir()}
        assert len(names - {"_job.json", "_parts"}) == finished  # nothing half-written
        with pytest.raises(JobError, match=r"-0000\d.parquet: is missing; run the job again"):
            finish(task)
        before = stamps(parts(task))
        scoring.run(task)
        assert stamps(before) == before  # what was done is not done again
        assert whole(task) == whole(undisturbed)


def test_a_hole_is_filled(loans: Job) -> None:
    scoring.run(loans)
    before = whole(loans)
    for number in (2, 0):
        parts(loans)[number].unlink()
    assert [(shard.first, shard.stop) for shard in claim(loans)] == [(0, 1), (2, 3)]
    assert not (pathlib.Path(loans.output) / "_SUCCESS.json").exists()
    scoring.run(loans)
    assert whole(loans) == before


def test_a_job_that_ends_removes_what_a_killed_worker_was_writing(loans: Job) -> None:
    scoring.run(loans)
    before = contents(loans.output)
    left_over = (".a-00001.parquet.0f.tmp", "_parts/.71.a-00001.json", ".71._job.json")
    for name in left_over:
        (pathlib.Path(loans.output) / name).write_text("half")
    finish(loans)
    assert contents(loans.output).keys() == before.keys()


def contents(directory: str) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in pathlib.Path(directory).rglob("*")
        if path.is_file()
    }


def test_another_job_is_refused(loans: Job, exports: dict[str, pathlib.Path]) -> None:
    scoring.run(loans)
    before = contents(loans.output)

    def refused(task: Job, rule: str) -> None:
        with pytest.raises(JobError, match=rule):
            scoring.run(task)
        assert contents(loans.output) == before

    holds = "a-00000.parquet: holds scores of another job, whose "
    refused(
        dataclasses.replace(loans, keys=("user",)), holds + r"keys is \['id'\] and not \['user'\]"
    )
    refused(
        dataclasses.replace(loans, signature="p_view"),
        holds + "signature is 'serving_default' and not 'p_view'",
    )
    refused(
        dataclasses.replace(loans, rows_per_shard=32), holds + "rows_per_shard is 64 and not 32"
    )
    refused(
        dataclasses.replace(loans, model=str(exports["numbers"]), keys=()),
        holds + "model is '.*loans",
    )
    source = pathlib.Path(loans.inputs[0].path)
    times = source.stat()
    os.utime(source, ns=(0, 1))
    assert find_inputs([str(source)]) == loans.inputs  # no time of change counts
    header, *lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([header, *reversed(lines)]))
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = dataclasses.replace(loans, inputs=find_inputs([str(source)]))
    refused(changed, "holds scores of .* as it was when they were made; it has changed")
    other = source.rename(source.with_name("b.csv"))
    refused(
        dataclasses.replace(loans, inputs=find_inputs([str(other)])),
        "belongs to no input file of this job",
    )
    (pathlib.Path(loans.output) / "_job.json").unlink()
    before = contents(loans.output)
    refused(loans, "which is no batch-scoring job")
