"""Batch scoring: every row once, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_models
from scoring_jobs import bad_csv, job, mkdir, parts, scores, stamps, whole
from small_files import EXTENSIONS

from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch import job as scoring_job
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job, JobError, find_inputs
from tafe_tf.serving.batch.ledger import claim, finish

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(sys.path)
}  # the code that this process tests


class Stops:
    """A model that fails at its n-th call."""

    def __init__(self, model: SessionModel, calls: int) -> None:
        self._model, self._left = model, calls

    def __call__(self, *arguments: Any) -> dict[str, np.ndarray]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._model(*arguments)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_wherever_it_stops_it_goes_on(
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    extension: str,
) -> None:
    monkeypatch.setattr(scoring_job, "BLOCK_ROWS", 10)  # two blocks a part
    inputs, model = mkdir(tmp_path / "in"), SessionModel(exports["loans"])
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
        assert (
            len(list(pathlib.Path(task.output).iterdir())) == finished + 1
        )  # and _job.json: nothing half-written
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


def test_killed_it_loses_and_doubles_no_row(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    count, output = 20_000, tmp_path / "out"
    write(
        mkdir(tmp_path / "in") / "a.csv",
        small_models.rows("loans", count) | {"id": list(range(count))},
    )
    flags = {
        "model": exports["loans"].parent,
        "input": tmp_path / "in" / "*.csv",
        "output": output,
        "keys": "id",
    }
    first = command(**flags, rows_per_shard=1000, batch_size=5)
    process = subprocess.Popen(first, env=ENVIRONMENT, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not list(output.glob("a-*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.05)  # into the next part
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = stamps(output.glob("a-*.parquet"))
    assert 0 < len(done) < 20
    assert (
        list(output.glob(".*")) != []
    )  # the part it was at, which no reader of the directory takes
    assert all(pq.read_metadata(path).num_rows == 1000 for path in done)
    again = command(**flags, rows_per_shard=1000, batch_size=1000)
    ended = subprocess.run(
        again, env=ENVIRONMENT, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True
    )
    assert "20,000 rows scored, 0 dropped" in ended.stdout
    assert stamps(done) == done
    assert list(output.glob(".*")) == []
    task = job(exports["loans"], tmp_path / "in" / "a.csv")
    assert scores(task)["row"] == list(range(1, count + 1))
    assert scores(task)["id"] == [str(i) for i in range(count)]


def command(**flags: object) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tafe_tf.serving.batch_score",
        *(f"--{name}={value}" for name, value in flags.items()),
    ]


def test_bad_rows_stop_the_job_or_are_dropped(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = bad_csv(mkdir(tmp_path / "in") / "a.csv")
    task = job(exports["loans"], path, rows_per_shard=64, keys=("item",))
    rule = r"a.csv: row 140, column 'item': must be an integer. Received: 'seven'"
    with pytest.raises(BadRowError, match=rule):
        scoring.run(task)
    assert [part.name for part in parts(task)] == [
        "a-00000.parquet",
        "a-00001.parquet",
    ]  # what came before it stands
    before = stamps(parts(task))
    dropping = dataclasses.replace(task, on_bad_row="drop")
    summary = scoring.run(dropping)["inputs"][str(path)]
    assert stamps(before) == before
    assert (summary["parts"], summary["rows"], summary["dropped"]) == (4, 198, 2)
    assert (
        summary["reasons"][0].startswith("dropped 1 rows, the first: ")
        and "row 140" in summary["reasons"][0]
    )
    assert "row 150: must have 5 cells. Received: " in summary["reasons"][1]
    assert scores(task)["row"] == [row for row in range(1, 201) if row not in (140, 150)]
    parts(task)[3].unlink()
    assert (
        scoring.run(dropping)["inputs"][str(path)] == summary
    )  # drops of parts done before are counted too
    with pytest.raises(
        BadRowError, match=f"a-00002.parquet: was scored without some rows; .*{rule}"
    ):
        scoring.run(task)


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


def test_a_bad_file_is_mended_and_the_job_goes_on(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    inputs = mkdir(tmp_path / "in")
    write(inputs / "a.csv", small_models.rows("loans", 10))
    for text, rule in (
        ("", "is empty; a header line is needed"),
        ("user,item\n", "holds no rows"),
        ("user\nu 1\n", "column 'item' is missing; the columns are user"),
    ):
        (inputs / "b.csv").write_text(text)
        with pytest.raises(DataError, match=f"b.csv: {rule}"):
            scoring.run(job(exports["loans"], inputs / "*"))
    before = parts(job(exports["loans"], inputs / "*"))
    assert [part.name for part in before] == ["a-00000.parquet"]
    (inputs / "b.csv").write_text("user,item\nu 1,1\n")
    assert scoring.run(job(exports["loans"], inputs / "*"))["rows"] == 11


def test_a_file_must_not_change_meanwhile(loans: Job) -> None:
    with open(loans.inputs[0].path, "a") as file:
        file.write("r250,u 1,1,0,0,0\n")
    with pytest.raises(DataError, match=r"a.csv: has changed since the job began"):
        scoring.run(loans)
    assert parts(loans) == []


def contents(directory: str) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in pathlib.Path(directory).iterdir()
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
    os.utime(source, ns=(0, 1))
    changed = dataclasses.replace(loans, inputs=find_inputs([str(source)]))
    refused(changed, holds + "input is .*'mtime_ns': 1[0-9]+.* and not .*'mtime_ns': 1}")
    other = source.rename(source.with_name("b.csv"))
    refused(
        dataclasses.replace(loans, inputs=find_inputs([str(other)])),
        "belongs to no input file of this job",
    )
    (pathlib.Path(loans.output) / "_job.json").unlink()
    before = contents(loans.output)
    refused(loans, "which is no batch-scoring job")


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


def test_what_a_job_must_be(
    loans: Job, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    def wrong(rule: str, task: Job = loans, **settings: Any) -> None:
        with pytest.raises(JobError, match=rule):
            dataclasses.replace(task, **settings)

    wrong("key 'row' is reserved: the output has row, p_view, p_apply", keys=("row",))
    wrong("key 'p_view' is reserved", keys=("p_view",))
    wrong("key 'id' must be given once", keys=("id", "id"))
    wrong("batch_size must be 1 or more. Received: 0", batch_size=0)
    wrong(
        "rows_per_shard must be a multiple of 65536, or 1 to that. Received: 100000",
        rows_per_shard=100000,
    )
    wrong("rows_per_shard must be .* Received: 0", rows_per_shard=0)
    wrong("on_bad_row must be 'raise' or 'drop'. Received: 'skip'", on_bad_row="skip")
    for signature in ("examples", "nothing", "__saved_model_init_op"):
        wrong(
            f"signature '{signature}' scores no rows of columns; these do: .*serving_default",
            signature=signature,
        )
    inputs = tmp_path / "in"
    wrong("the output must not lie among the input files", output=str(inputs))
    write(inputs / "a.csv.gz", small_models.rows("loans", 2))
    wrong(
        "a.csv and .*a.csv.gz would be scored into one file",
        inputs=find_inputs([str(inputs / "*")]),
    )
    write(inputs / "b.parquet", small_models.rows("loans", 2))
    both = find_inputs([str(inputs / "a.csv"), str(inputs / "b.parquet")])
    wrong("must be of one format. Received: .csv, .parquet", inputs=both)
    wrong("key 'tags' holds lists", model=str(exports["shop"]), keys=("tags",))
    for signature in ("rank", "examples"):
        wrong(
            f"'{signature}' scores no rows",
            model=str(exports["numbers"]),
            keys=(),
            signature=signature,
        )


COMMANDS = """
    import contextlib, io, json, sys
    from absl import flags
    from tafe_tf.serving import batch_score

    sys.modules["apache_beam"] = None  # as where the extra is not installed
    for line in json.loads(sys.argv[1]):
        flags.FLAGS.unparse_flags()
        for name in ("model", "input", "output", "keys", "signature", "runner", "on_bad_row"):
            flags.FLAGS[name].unparse()
        argv, code, out = flags.FLAGS(["batch_score", *line]), None, io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                batch_score.main(argv)
        except (SystemExit, Exception) as ended:
            code = str(ended.code) if isinstance(ended, SystemExit) else repr(ended)
        print(json.dumps([code, out.getvalue()]))
"""


def test_the_command_ends_with_one_line(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    bad_csv(mkdir(tmp_path / "in") / "a.csv")
    (tmp_path / "in" / "b.parquet").write_bytes(b"")
    (tmp_path / "in" / "c.txt").write_text("x")
    model, good = f"--model={exports['loans']}", f"--input={tmp_path}/in/a.csv"
    output = f"--output={tmp_path}/out"
    cases = {
        "error: --output must be given": [model, good],
        "error: --model must be given": [good, output],
        f"error: {tmp_path}: holds no exported version": [f"--model={tmp_path}", good, output],
        f"error: {tmp_path}/in/*.tsv: no file matches": [
            model,
            f"--input={tmp_path}/in/*.tsv",
            output,
        ],
        f"error: {tmp_path}/in/c.txt: must end in one of .csv": [
            model,
            f"--input={tmp_path}/in/c.txt",
            output,
        ],
        f"error: {tmp_path}/in/b.parquet: cannot be read": [
            model,
            f"--input={tmp_path}/in/b.parquet",
            output,
        ],
        f"error: {exports['loans']}: signature 'rank'": [model, good, output, "--signature=rank"],
        f"error: {tmp_path}/in/a.csv: column 'id' is missing": [model, good, output, "--keys=id"],
        f"error: {tmp_path}/in/a.csv: row 140, column 'item': must be an integer": [
            model,
            good,
            output,
        ],
        "error: --runner needs Apache Beam: pip install 'tafe_tf[beam]'": [
            model,
            good,
            output,
            "--runner=DirectRunner",
        ],
        "UsageError": [model, good, output, "more.csv"],
    }
    lines = [*cases.values(), [model, good, output, "--on_bad_row=drop"]]
    program = [sys.executable, "-c", textwrap.dedent(COMMANDS), json.dumps(lines)]
    ended = subprocess.run(
        program, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *found, dropped = [json.loads(line) for line in ended.stdout.splitlines()]
    for expected, (code, _) in zip(cases, found, strict=True):
        assert code is not None and code.startswith(expected) and "\n" not in code
    assert dropped[0] is None
    assert "row 140, column 'item'" in dropped[1] and "198 rows scored, 2 dropped" in dropped[1]
