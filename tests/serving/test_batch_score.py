"""The command that scores files: killed, wrongly asked, and right."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import small_models
from scoring_jobs import bad_csv, job, mkdir, scores, stamps

from tafe_tf.data.formats.write import write

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # the code under test


def command(**flags: object) -> list[str]:
    given = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "tafe_tf.serving.batch_score", *given]


@pytest.mark.slow
def test_killed_it_loses_and_doubles_no_row(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    count = 20_000
    output = tmp_path / "out"
    columns = small_models.rows("loans", count) | {"id": list(range(count))}
    write(mkdir(tmp_path / "in") / "a.csv", columns)
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
    assert list(output.glob(".*")) != []  # the part it was at, which readers of a directory skip
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


# Runs the command once for each list of arguments, in one process, so that TensorFlow is imported
# once; the command's flags are taken back each time.
MANY_COMMANDS = """
import contextlib, io, json, runpy, sys
from absl import flags
import tafe_tf.serving.batch.scoring

sys.modules["apache_beam"] = None  # as where the extra is not installed
before = set(flags.FLAGS)
for arguments in json.loads(sys.argv.pop()):
    sys.argv[1:] = arguments
    code, out, err = None, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module("tafe_tf.serving.batch_score", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def test_the_command_ends_with_one_line(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    inputs = mkdir(tmp_path / "in")
    bad_csv(inputs / "a.csv")
    (inputs / "b.parquet").write_bytes(b"")
    (inputs / "c.txt").write_text("x")
    model = f"--model={exports['loans']}"
    good = f"--input={inputs}/a.csv"
    output = f"--output={tmp_path}/out"
    cases: list[tuple[list[str], str]] = [
        ([model, good], "--output must be given"),
        ([good, output], "--model must be given"),
        ([model], "--input and --output must be given"),
        ([f"--model={tmp_path}", good, output], f"{tmp_path}: holds no exported version"),
        ([model, f"--input={inputs}/*.tsv", output], f"{inputs}/*.tsv: names no file with rows"),
        ([model, f"--input={inputs}/c.txt", output], f"{inputs}/c.txt: must end in one of .csv"),
        ([model, f"--input={inputs}/b.parquet", output], f"{inputs}/b.parquet: cannot be read"),
        ([model, good, output, "--signature=rank"], f"{exports['loans']}: signature 'rank'"),
        ([model, good, output, "--keys=id"], f"{inputs}/a.csv: column 'id' is missing"),
        (
            [model, good, output],
            f"{inputs}/a.csv: row 140, column 'item': must be an integer",
        ),
        (
            [model, good, output, "--runner=DirectRunner"],
            "--runner=DirectRunner needs Apache Beam: pip install 'tafe_tf[beam]'",
        ),
    ]
    dropping = [model, good, output, "--on_bad_row=drop"]
    unquoted = [model, good, output, "more.csv"]
    lines = [*(arguments for arguments, _ in cases), dropping, unquoted]
    program = [sys.executable, "-c", MANY_COMMANDS, json.dumps(lines)]
    ended = subprocess.run(
        program, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *refused, dropped, wrong_usage = [json.loads(line) for line in ended.stdout.splitlines()]
    for (_, expected), (code, _, _) in zip(cases, refused, strict=True):
        assert code.startswith(f"error: {expected}") and "\n" not in code
    code, said, _ = dropped
    assert not code
    assert "row 140, column 'item'" in said and "198 rows scored, 2 dropped" in said
    code, _, said = wrong_usage
    assert code == 1
    assert "quote the pattern of --input. Received besides: more.csv" in said
